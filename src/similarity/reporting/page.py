"""What the report shows, chosen, counted and drawn, for the templates next to this module.

The same figures give the same bytes.
"""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from similarity.data.dataset.manifest import UNLABELED

PLACE_OF_RUN = "<!-- this run -->"
"""Where the report has room for what is true of one run only."""
_MOST_CONFUSED = 40  # classes that a confusion matrix is shown of
_WRONG = 0.5  # P@10 below which a query has failed
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.globals["search_page"] = "http://127.0.0.1:8000/"  # of `similarity serve`
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


class Query(NamedTuple):
    """A test image and its nearest training images, best first, with their cosines; its P@10 if it was scored."""

    key: str
    neighbors: list[tuple[str, float]]
    p_at_10: float | None = None


def render(template: str, **content: object) -> str:
    """Fill in a template; texts are plain and are escaped there."""
    return _TEMPLATES.get_template(template).render(content)


def embed(content: bytes, kind: str) -> str:
    """Encode content as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def collect_queries(rows: Iterable[Mapping[str, str]], scores: Mapping[str, float]) -> list[Query]:
    """Collect the test images with their neighbors from the rows of the table that `evaluate` wrote."""
    return [
        Query(key, [(row["neighbor"], float(row["cosine"])) for row in found], scores.get(key))
        for key, found in groupby(rows, itemgetter("path"))
    ]


def failures(queries: Sequence[Query]) -> list[Query]:
    """List the queries most of whose neighbors have other classes, those with the highest cosines to these first."""
    found = []
    for each in queries:
        if each.p_at_10 is not None and each.p_at_10 < _WRONG:
            label = each.key.split("/")[0]
            wrong = [cosine for key, cosine in each.neighbors if key.split("/")[0] != label]
            found.append((each.p_at_10, -float(np.mean(wrong or [-1])), each.key, each))
    return [each for *_, each in sorted(found)]


def describe_classes(
    counts: Mapping[str, Sequence[int]], per_class: Mapping[str, Mapping[str, str]], pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """List the classes, the hardest first, with their counts, scores, and what they are most often mistaken for.

    Args:
        counts: the images of each class: training, validation, test.
        per_class: the scores of the classes that have queries.
        pairs: the class of each query and that of its nearest image.
    """
    mistaken: dict[str, tuple[int, str]] = {}
    for (actual, nearest), count in Counter(pairs).items():
        if actual != nearest:
            mistaken[actual] = max((count, nearest), mistaken.get(actual, (0, "")))
    names = sorted(counts, key=lambda each: (float(per_class.get(each, {}).get("p_at_10", 2)), each))
    return [
        {"name": name, "counts": counts[name], "scores": per_class.get(name), "mistaken": mistaken.get(name)}
        for name in names
    ]


def confusion(pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Count how often the nearest image of a query of each class has each class; nothing for one class, or too many."""
    names, counts = sorted({name for pair in pairs for name in pair}), Counter(pairs)
    if not 1 < len(names) <= _MOST_CONFUSED:
        return {}
    return {actual: [counts[actual, nearest] for nearest in names] for actual in names}


def flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """List nested figures by their names, joined with dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def draw_curves(history: Sequence[Mapping[str, str]]) -> str:
    """Draw loss, accuracy and MAP@R of training and validation images by epoch: an SVG's data URI."""
    titles = {"loss": "cross-entropy loss, nats", "accuracy": "accuracy of the classifier", "map_at_r": "MAP@R"}
    with mpl.rc_context(_STYLE):
        figure = Figure((11, 3), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, len(titles)), titles.items(), strict=True):
            for column, images, color in ((name, "training", "C0"), (f"val_{name}", "validation", "C1")):
                if column in history[0]:
                    values = [float(epoch[column]) for epoch in history]
                    axes.plot(range(1, len(values) + 1), values, color, label=images)
            axes.set(xlabel="epoch", title=title)
            axes.grid(alpha=0.3)
            axes.legend()
        return _as_svg(figure)


def draw_map(positions: np.ndarray, labels: np.ndarray) -> str:
    """Draw points of the unit square, float32 (n, 2), with the names of their classes, str (n,): an SVG's data URI."""
    names, counts = np.unique(labels, return_counts=True)
    named = {*names[np.argsort(-counts, kind="stable")[:_MOST_NAMED]]}
    with mpl.rc_context(_STYLE):
        figure = Figure((7, 7), layout="constrained")
        axes = figure.subplots()
        for number, name in enumerate(names.tolist()):
            chosen = positions[labels == name]
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


def _as_svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return embed(buffer.getvalue(), "image/svg+xml")
