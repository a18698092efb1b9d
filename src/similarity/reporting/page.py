"""A page that needs nothing but itself: pictures and style are in it, and no script."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from PIL import Image

_TEMPLATE = Path(__file__).with_name("page.html")
_QUALITY = 75


class Section(NamedTuple):
    """A part of a page: its title, and what is below it, as HTML."""

    title: str
    content: str


class Tile(NamedTuple):
    """A headline figure: its value, what it is, and how far it can be trusted."""

    value: str
    meaning: str
    note: str


def render_page(title: str, introduction: str, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """Put a page together, with links to its sections; title and introduction are plain text."""
    links = (f'<a href="#section-{number}">{escape(each.title)}</a>' for number, each in enumerate(sections, 1))
    parts = (
        f'<section id="section-{number}"><h2>{escape(each.title)}</h2>\n{each.content}</section>'
        for number, each in enumerate(sections, 1)
    )
    figures = (f"<li><b>{escape(t.value)}</b>{escape(t.meaning)}<small>{escape(t.note)}</small></li>" for t in tiles)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        introduction=escape(introduction),
        links=" ".join(links),
        tiles="".join(figures),
        sections="\n".join(parts),
    )


def paragraph(text: str) -> str:
    """Format plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """Format plain text as the heading of a part of a section."""
    return f"<h3>{escape(text)}</h3>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table of plain texts."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(summary: str, content: str) -> str:
    """Format HTML that is shown when its summary, plain text, is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def columns(*parts: str) -> str:
    """Put parts, as HTML, side by side where there is room."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def chart(svg: bytes, description: str) -> str:
    """Embed a chart."""
    address = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f'<img class="chart" src="{address}" alt="{escape(description)}">'


def picture(image: Image.Image, description: str, wide: bool = False) -> str:
    """Embed a picture as WebP; a wide one scrolls on small screens."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY)
    address = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    # What scrolls must be reached with the keyboard as well.
    attributes = f'class="wide" tabindex="0" aria-label="{escape(description)}"' if wide else ""
    return f'<figure {attributes}><img src="{address}" alt="{escape(description)}"></figure>'
