"""A page that needs nothing but itself: pictures and style are in it, and no script."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
from PIL import Image

_TEMPLATE = Path(__file__).with_name("page.html")
_QUALITY = 80


class Section(NamedTuple):
    """A part of a page: its title, and what is below it, as HTML."""

    title: str
    content: str


class Tile(NamedTuple):
    """A figure that comes first: its value, what it is, and what it is to be compared with."""

    value: str
    meaning: str
    beside: str


def render_page(title: str, introduction: str, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """Puts a page together, with links to its sections; title and introduction are plain text."""
    anchors = [f"section-{number}" for number in range(1, len(sections) + 1)]
    links = " ".join(
        f'<a href="#{anchor}">{escape(section.title)}</a>' for anchor, section in zip(anchors, sections, strict=True)
    )
    body = "\n".join(
        f'<section id="{anchor}"><h2>{escape(section.title)}</h2>\n{section.content}</section>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title), introduction=escape(introduction), links=links, body=f"{_tile_list(tiles)}\n{body}"
    )


def _tile_list(tiles: Sequence[Tile]) -> str:
    entries = (
        f"<li><b>{escape(tile.value)}</b>{escape(tile.meaning)}<small>{escape(tile.beside)}</small></li>"
        for tile in tiles
    )
    return f'<ul class="tiles">{"".join(entries)}</ul>'


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(summary: str, content: str) -> str:
    """HTML that is shown when its summary, plain text, is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def beside(parts: Iterable[str]) -> str:
    """Parts, as HTML, side by side where there is room."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def sheet(pixels: np.ndarray, description: str, wide: bool) -> str:
    """A contact sheet, RGB, uint8 (height, width, 3), over the whole width or at most at its own."""
    # What scrolls on small screens must be reached with the keyboard as well.
    attributes = f'class="sheet wide" tabindex="0" aria-label="{escape(description)}"' if wide else 'class="sheet"'
    return f'<figure {attributes}><img src="{jpeg_address(pixels)}" alt="{escape(description)}"></figure>'


def jpeg_address(pixels: np.ndarray) -> str:
    """An address that holds an image, RGB, uint8 (height, width, 3), as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
