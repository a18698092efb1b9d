"""Parts of the report as HTML: tables, bars, pictures. Texts are plain and are escaped here."""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from PIL import Image

PAGE = "http://127.0.0.1:8000/"
"""Where `make serve` shows the search page."""

PLACE_OF_RUN = "<!-- this run -->"
"""Where a page has room for what is true of one run only."""

_TEMPLATE = Path(__file__).with_name("page.html")
_SIDE = 120  # pixels, the longest of a picture in a row
_QUALITY = 70


class Section(NamedTuple):
    """A part of a page: its title, and its content as HTML."""

    title: str
    content: str


class Tile(NamedTuple):
    """A headline figure: its value, what it is, and how far it can be trusted."""

    value: str
    meaning: str
    note: str


class Bar(NamedTuple):
    """A share, 0…1, that a table shows as a number on a bar; a paler bar may reach further."""

    share: float
    beyond: float = 0


class Shot(NamedTuple):
    """A picture with its caption: RGB, uint8 (height, width, 3), and the kind of frame, `same`, `other` or none."""

    pixels: np.ndarray
    key: str
    lines: Sequence[str]
    frame: str = ""


def render_page(title: str, introduction: str, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """Put a page together, with links to its sections; title and introduction are plain text."""
    links = (f'<a href="#section-{number}">{escape(each.title)}</a>' for number, each in enumerate(sections, 1))
    parts = (section(f"section-{number}", each.title, each.content) for number, each in enumerate(sections, 1))
    figures = (f"<li><b>{escape(t.value)}</b>{escape(t.meaning)}<small>{escape(t.note)}</small></li>" for t in tiles)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        introduction=escape(introduction),
        links=" ".join(links),
        tiles="".join(figures),
        sections="\n".join(parts),
    )


def section(name: str, title: str, content: str) -> str:
    """Format a part of a page that links can name; the title is plain text, the content HTML."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{content}</section>'


def flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """List nested figures by their names, joined with dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def paragraph(text: str) -> str:
    """Format plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str | Bar]]) -> str:
    """Format a table of plain texts and bars."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: str | Bar) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    style = f"--share:{cell.share:.1%};--beyond:{max(cell.beyond, cell.share):.1%}"
    return f'<td class="bar" style="{style}">{cell.share:.3f}</td>'


def confusion(classes: Sequence[str], counts: np.ndarray) -> str:
    """Format how often the nearest image of a query of each class (row) has each class (column), int64 (c, c)."""
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in classes)
    rows = []
    for i, name in enumerate(classes):
        cells = (
            f'<td class="{"right" if i == j else "wrong"}" style="--share:{shares[i, j]:.0%}">{counts[i, j] or ""}</td>'
            for j in range(len(classes))
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return f'<div class="table"><table class="confusion"><tr><td></td>{head}</tr>{"".join(rows)}</table></div>'


def folded(summary: str, content: str) -> str:
    """Format HTML that is shown when its summary, plain text, is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def chart(svg: bytes, description: str) -> str:
    """Embed a chart."""
    address = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f'<img class="chart" src="{address}" alt="{escape(description)}">'


def picture(image: Image.Image, description: str) -> str:
    """Embed a picture as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY)
    address = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return f'<img src="{address}" alt="{escape(description)}">'


def row_of_pictures(shots: Iterable[Shot]) -> str:
    """Format pictures side by side, each with a link to the search page."""
    return f'<div class="pictures">{"".join(map(_shot, shots))}</div>'


def _shot(shot: Shot) -> str:
    image = Image.fromarray(np.ascontiguousarray(shot.pixels))
    image.thumbnail((_SIDE, _SIDE))
    link, lines = f"{PAGE}?key={quote(shot.key)}", "<br>".join(map(escape, shot.lines))
    caption = f"{lines}<small>{escape(shot.key.rpartition('/')[2])}</small>"
    linked = f'<a href="{link}">{picture(image, shot.key)}</a>'
    return f'<figure class="{shot.frame}">{linked}<figcaption>{caption}</figcaption></figure>'
