"""Charts of the report, drawn by matplotlib as SVG; the same figures give the same bytes."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from similarity.data.dataset.manifest import UNLABELED

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "report",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "text.parse_math": False,  # a $ in a name is one
    "legend.frameon": False,
    "savefig.dpi": 150,  # of what is drawn as pixels
}
_GOLDEN = 0.618034  # steps of this much around the circle of hues keep any number of colors apart
_MOST_NAMED, _LONGEST_NAME = 60, 30  # classes whose names stand on the map; characters


def curves(history: Mapping[str, Sequence[float]]) -> bytes:
    """Draw loss, accuracy and MAP@R by epoch, for training and validation images, by the columns of the history."""
    titles = {"loss": "cross-entropy loss, nats", "accuracy": "accuracy of the classifier", "map_at_r": "MAP@R"}
    with mpl.rc_context(_STYLE):
        figure = Figure((11, 3), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, len(titles)), titles.items(), strict=True):
            for column, images, color in ((name, "training", "C0"), (f"val_{name}", "validation", "C1")):
                if column in history:
                    axes.plot(range(1, len(history[column]) + 1), history[column], color, label=images)
            axes.set(xlabel="epoch", title=title)
            axes.grid(alpha=0.3)
            axes.legend()
        return _as_svg(figure)


def points(positions: np.ndarray, labels: Sequence[str]) -> bytes:
    """Draw a map as points, float32 (n, 2), in the unit square, a color for each class, with its name in its middle."""
    counts = Counter(labels)
    named = {name for name, _ in counts.most_common(_MOST_NAMED)}
    with mpl.rc_context(_STYLE):
        figure = Figure((7, 7), layout="constrained")
        axes = figure.subplots()
        for number, name in enumerate(sorted(counts)):
            chosen = positions[[label == name for label in labels]]
            color = "gray" if name == UNLABELED else mpl.colors.hsv_to_rgb((number * _GOLDEN % 1, 0.85, 0.7))
            axes.plot(*chosen.T, ".", color=color, alpha=0.7, markersize=5, markeredgewidth=0, rasterized=True)
            if name in named:
                x, y = chosen[np.square(chosen - np.median(chosen, axis=0)).sum(axis=1).argmin()]
                box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1}
                text = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
                axes.text(x, y, text, color=color, fontsize=9, weight="bold", ha="center", bbox=box, zorder=3)
        axes.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.axis("off")
        return _as_svg(figure)


def _as_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
