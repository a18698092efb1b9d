"""Charts as SVG and HTML that need nothing else: their colors are the page's, for light, dark and paper."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

_WIDTH, _HEIGHT = 640, 280  # of a chart of lines, in units of the picture
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 112, 12, 34  # its margins, that on the right for the names of the lines
_LABEL_HEIGHT = 15
_TICKS = 5
_COLORS = 8  # of classes
_OTHERS = "others"


class Bar(NamedTuple):
    """A share, 0…1, with its name; `low` and `high` are its interval, `beyond` another share, at least as large."""

    name: str
    share: float
    low: float | None = None
    high: float | None = None
    beyond: float | None = None


class Point(NamedTuple):
    """A place in the unit square, and what it is told to be."""

    x: float
    y: float
    name: str


def line_chart(x_name: str, y_name: str, lines: Mapping[str, Sequence[float]], marked: int | None = None) -> str:
    """Draws lines over 1, 2, … as SVG.

    Args:
        x_name: what is counted.
        y_name: what the lines are of, with its unit.
        lines: the finite values of each by its name, one or more, all of the same length.
        marked: a place on the x-axis to mark.
    """
    count = max(map(len, lines.values()))
    ticks = nice_ticks(min(map(min, lines.values())), max(map(max, lines.values())))
    low, high = ticks[0], ticks[-1]

    def x(place: float) -> float:
        return _LEFT + (place - 1) / max(1, count - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(f"{y_name} by {x_name}")}">']
    for value in ticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y(value) + 4:.1f}">{value:g}</text>')
    parts.extend(
        f'<text class="middle" x="{x(place):.1f}" y="{_HEIGHT - 18}">{place:g}</text>'
        for place in [1, *(tick for tick in nice_ticks(1, count) if 1 < tick < count and tick % 1 == 0), count]
    )
    parts.append(f'<text class="middle" x="{x((1 + count) / 2):.1f}" y="{_HEIGHT - 3}">{escape(x_name)}</text>')
    if marked is not None:
        parts.append(f'<path class="mark" d="M{x(marked):.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    ends = _apart([y(values[-1]) for values in lines.values()], y(low))
    for number, (name, values) in enumerate(lines.items()):
        path = "L".join(f"{x(place):.1f} {y(value):.1f}" for place, value in enumerate(values, start=1))
        parts.append(f'<path class="line stroke-{number}" d="M{path}"/>')
        parts.append(f'<text class="fill-{number}" x="{_WIDTH - _RIGHT + 6}" y="{ends[number] + 4:.1f}">')
        parts.append(f"{escape(name)}</text>")
    return "".join([*parts, "</svg>"])


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, whose first is at most `low` and whose last at least `high`; two or more."""
    span = high - low or abs(high) or 1
    magnitude = 10 ** math.floor(math.log10(span / _TICKS))
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor * _TICKS >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _apart(heights: Sequence[float], lowest: float) -> list[float]:
    """Moves heights, which grow downwards, so that none is within a line of text of another, nor below the lowest."""
    moved, floor = list(heights), -math.inf
    for number in sorted(range(len(heights)), key=lambda number: (heights[number], number)):
        moved[number] = floor = max(heights[number], floor + _LABEL_HEIGHT)
    return [height - max(0, floor - lowest) for height in moved]


def bar_table(header: tuple[str, str], bars: Sequence[Bar]) -> str:
    """Draws shares as a table: names, bars, numbers; an interval is a thin line, a share beyond a paler bar."""
    rows = "".join(
        f'<tr><th scope="row">{escape(bar.name)}</th><td><div class="track">{"".join(_bar(bar))}</div></td>'
        f"<td>{bar.share:.3f}</td></tr>"
        for bar in bars
    )
    name, share = map(escape, header)
    head = f'<tr><th scope="col">{name}</th><th scope="col" colspan="2">{share}</th></tr>'
    return f'<table class="bars"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _bar(bar: Bar) -> Iterator[str]:
    if bar.beyond is not None:
        yield f'<i class="beyond" style="width:{100 * bar.beyond:.1f}%"></i>'
    yield f'<i style="width:{100 * bar.share:.1f}%"></i>'
    if bar.low is not None and bar.high is not None:
        yield f'<i class="interval" style="left:{100 * bar.low:.1f}%;width:{100 * (bar.high - bar.low):.1f}%"></i>'


class Coloring(NamedTuple):
    """Which color each of some things has, int64 (n,), and the names of the colors with how many have it."""

    colors: np.ndarray
    legend: list[tuple[str, int]]


def color_by_class(labels: np.ndarray, names: Sequence[str]) -> Coloring:
    """Gives the largest classes a color each, in the order of their names, and the last color to all others.

    Args:
        labels: index in `names` of each thing, int (n,); any other number is of the others.
        names: of the classes.
    """
    counts = np.bincount(labels[labels < len(names)], minlength=len(names))
    largest = np.sort(np.argsort(-counts, kind="stable")[: _COLORS if len(names) <= _COLORS else _COLORS - 1])
    color_of = np.full(max(labels.max(initial=0) + 1, len(names)), _COLORS)
    color_of[largest] = np.arange(len(largest))
    legend = [(names[label], int(counts[label])) for label in largest.tolist()]
    others = int((color_of[labels] == _COLORS).sum())
    return Coloring(color_of[labels], legend + [(_OTHERS, others)] * bool(others))


def legend(coloring: Coloring) -> str:
    """The names of colors, as HTML."""
    entries = (
        f'<li><svg viewBox="0 0 10 10"><circle class="fill-{_COLORS if name == _OTHERS else number}" cx="5" cy="5" '
        f'r="5"/></svg>{escape(name)} <small>{count:,}</small></li>'
        for number, (name, count) in enumerate(coloring.legend)
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def scatter(points: Sequence[Point], colors: Sequence[int], size: int = 600) -> str:
    """Draws points of the unit square, y upwards, in the colors of `color_by_class`; a mouse brings up their names."""
    dots = (
        f'<circle class="fill-{color}" cx="{point.x * size:.1f}" cy="{(1 - point.y) * size:.1f}" r="4">'
        f"<title>{escape(point.name)}</title></circle>"
        for point, color in zip(points, colors, strict=True)
    )
    view = f"-6 -6 {size + 12} {size + 12}"
    return f'<svg class="map" viewBox="{view}" role="img" aria-label="Map of the images">{"".join(dots)}</svg>'
