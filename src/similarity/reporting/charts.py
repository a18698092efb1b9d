"""Charts of the report, drawn by matplotlib; the same figures give the same bytes."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

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
_BAR_HEIGHT = 0.24  # inches
_MOST_COLORS = 9  # of classes
_CELLS, _CELL_SIZE = 24, 40  # a row of the map in pictures, and pixels of each


def draw_svg(draw: Callable[[Figure], object], width: float, height: float) -> bytes:
    """Draw on a figure of a size in inches, and give it as SVG."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure((width, height), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def curves(history: Mapping[str, Sequence[float]], best_epoch: int) -> bytes:
    """Draw loss and accuracy by epoch, for training and validation images, by the columns of the history."""

    def draw(figure: Figure) -> None:
        titles = {"loss": "cross-entropy loss, nats", "accuracy": "accuracy of the classifier"}
        for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
            epochs = range(1, len(history[name]) + 1)
            axes.plot(epochs, history[name], label="training")
            axes.plot(epochs, history[f"val_{name}"], label="validation")
            axes.axvline(best_epoch, color="gray", linestyle="--", linewidth=1, label="kept")
            axes.set(xlabel="epoch", title=title)
            axes.grid(alpha=0.3)
            axes.legend()

    return draw_svg(draw, 9, 3)


def bars(names: Sequence[str], shares: np.ndarray, beyond: np.ndarray | None = None) -> bytes:
    """Draw shares, 0…1, as horizontal bars, the first at the top.

    They are (n,), or (n, 3) with the bounds of an interval after each share. `beyond` are shares at least as large,
    (n,), drawn as paler bars behind.
    """
    shares = np.asarray(shares, float).reshape(len(names), -1)
    places = np.arange(len(names))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if beyond is not None:
            axes.barh(places, beyond, color="tab:blue", alpha=0.3)
        axes.barh(places, shares[:, 0], color="tab:blue")
        if shares.shape[1] == 3:
            errors = np.abs(shares[:, 1:] - shares[:, :1]).T
            axes.errorbar(shares[:, 0], places, xerr=errors, fmt="none", ecolor="black", elinewidth=1)
        for place, share in zip(places, shares[:, 0], strict=True):
            axes.annotate(f"{share:.3f}", (1.02, place), va="center", annotation_clip=False)
        axes.set_yticks(places, [_short(name) for name in names])
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
        axes.tick_params(left=False)

    return draw_svg(draw, 5, 0.5 + _BAR_HEIGHT * len(names))


def confusion(classes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> bytes:
    """Draw how often the nearest image of a query of each class has each class, as shares of the query's class.

    A pair is the class of a query and that of its nearest image.
    """
    index = {name: place for place, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)))
    for actual, nearest in pairs:
        counts[index[actual], index[nearest]] += 1
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        names = [_short(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="class of the nearest image", ylabel="class of the query")
        figure.colorbar(drawn, shrink=0.6)

    side = 2 + _BAR_HEIGHT * len(classes)
    return draw_svg(draw, side + 0.5, side)


def points(positions: np.ndarray, labels: Sequence[str]) -> bytes:
    """Draw a map as points, float32 (n, 2), in the unit square; the largest classes have colors of their own."""
    counts = Counter(label for label in labels if label != UNLABELED)
    colored = sorted(name for name, _ in counts.most_common(_MOST_COLORS))
    of = np.array([colored.index(label) if label in colored else len(colored) for label in labels])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number in np.unique(of).tolist():
            is_other, chosen = number == len(colored), positions[of == number]
            label = f"{'others' if is_other else _short(colored[number])} ({len(chosen):,})"
            color = "lightgray" if is_other else f"C{number}"
            axes.plot(*chosen.T, ".", color=color, alpha=0.8, markeredgewidth=0, label=label, rasterized=True)
        axes.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.axis("off")
        figure.legend(loc="outside lower center", ncols=3, handletextpad=0.1, markerscale=2)

    return draw_svg(draw, 5, 5.7)


def collage(positions: np.ndarray, picture_of: Callable[[int], np.ndarray]) -> Image.Image:
    """Draw a map as pictures: in each place of a grid, the image nearest to its middle, or nothing (transparent).

    Args:
        positions: of all images, in the unit square, y upwards, float32 (n, 2).
        picture_of: gives the pixels of an image by its row, RGB, uint8 (height, width, 3).
    """
    scaled = np.column_stack([positions[:, 0], 1 - positions[:, 1]]).astype(np.float64) * _CELLS
    cells = np.clip(np.floor(scaled).astype(np.int64), 0, _CELLS - 1)
    distances = np.square(scaled - cells - 0.5).sum(axis=1)
    drawn = Image.new("RGBA", (_CELLS * _CELL_SIZE, _CELLS * _CELL_SIZE))
    nearest: dict[tuple[int, ...], int] = {}
    for row in np.argsort(distances, kind="stable").tolist():
        nearest.setdefault(tuple(cells[row].tolist()), row)
    for (column, line), row in sorted(nearest.items()):
        picture = Image.fromarray(np.ascontiguousarray(picture_of(row)))
        square = ImageOps.fit(picture, (_CELL_SIZE, _CELL_SIZE), Image.Resampling.BICUBIC)
        drawn.paste(square, (column * _CELL_SIZE, line * _CELL_SIZE))
    return drawn


def _short(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:29]}…"
