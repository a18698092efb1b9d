"""Queries and what is found for them, as records, as a table, and as a contact sheet."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from similarity.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from similarity.data.images.query_images import Region
    from similarity.engine.gallery import ImageFiles

NOTHING_SIMILAR = "nothing similar is indexed"
_PICTURES = 100  # rows of a notebook's table that show one
_SAME = 1 - 1e-5  # cosine above which two images are one: embeddings that are computed again differ by less

Index = Literal["exact", "annoy", "lancedb"]
Picture: TypeAlias = "np.ndarray | Image.Image"
"""Pixels, RGB, uint8 (height, width, 3), or an image of Pillow."""
Source: TypeAlias = "Path | bytes | Picture"
"""An image that is not indexed: a file, an upload, or pixels. Uploads are decoded with care, as nobody knows them."""
Names: TypeAlias = "str | Sequence[str] | None"
"""One or several, or any."""


@dataclass(frozen=True)
class Query:
    """Images that make one query together."""

    name: str  # in messages
    keys: Sequence[str] = ()  # of indexed images
    images: Sequence[Source] = ()  # others
    like: Sequence[str] = ()  # keys of images to move the query towards
    unlike: Sequence[str] = ()  # keys of images to move it away from
    region: Region | None = None  # of the only image; a key then only leaves itself out of the answer
    vectors: Sequence[np.ndarray] = ()  # embeddings, float (E,) each

    @property
    def key(self) -> str | None:
        """The key of the indexed image that is all of the query, if it is one."""
        is_one = len(self.keys) == 1 and not (self.images or self.vectors or self.like or self.unlike)
        return self.keys[0] if is_one else None


@dataclass(frozen=True)
class Options:
    """How to search; a number that is not allowed raises a `UserError`."""

    count: int  # neighbors to return
    label: Names = None  # the only classes to return
    index: Index | None = None  # None for the default
    look: float | None = None  # weight of the visual part, 0 (same kind) … 1 (same look); None as in the embeddings
    split: str | None = None  # the only split to return
    finding: str | None = None  # return only images with this kind, with ``any`` or with ``none``
    any: bool = False  # return the nearest images even if none is similar
    offset: int = 0  # nearest images to skip
    not_label: Names = None  # classes not to return

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1 or not (self.look is None or 0 <= self.look <= 1):
            raise UserError(f"k must be at least 1, and look from 0 to 1; they are {self.count} and {self.look}")

    @property
    def end(self) -> int:
        """How many neighbors to find."""
        return self.offset + self.count

    @property
    def is_plain(self) -> bool:
        """Whether the stored neighbors of an image answer these options."""
        filters = self.label, self.not_label, self.split, self.finding, self.look
        return all(each is None for each in filters) and self.index in {None, "exact"}


class Match(NamedTuple):
    """An image found for a query: its rank from 1, its key and class, and how similar it is; likeness is 0…100."""

    query: str
    rank: int
    key: str
    label: str
    cosine: float
    likeness: int
    words: str


@dataclass(frozen=True)
class Result:
    """The images found for a query."""

    query: Query
    index: Index  # that was searched
    source: str  # the file of stored neighbors, or a search
    neighbors: Sequence[Match]  # best first
    matches: int | None = None  # images that could be returned in all; None if neighbors are stored
    seconds: float = 0  # the search took
    distance: float | None = None  # to the nearest indexed image, in the features; None if the query is indexed
    max_distance: float | None = None  # up to which an image is similar to something; None if the query is indexed
    sizes: Sequence[tuple[int, int]] = ()  # width and height of each image of the query that was embedded
    embed_seconds: float | None = None  # that took, if there were any

    @property
    def similar(self) -> bool:
        """Whether anything indexed is similar to the query, shown or not."""
        return self.distance is None or self.max_distance is None or self.distance <= self.max_distance

    @property
    def indexed_as(self) -> str | None:
        """The key of the indexed image that the query is, whether it was given by its key or not."""
        same = self.neighbors[0] if self.neighbors else None
        return self.query.key or (same.key if same and same.cosine > _SAME else None)


@dataclass(frozen=True)
class Failure:
    """A query that cannot be answered, and the error that says why."""

    name: str
    error: Exception

    @property
    def reason(self) -> str:
        """One line that names the query."""
        reason = str(self.error)
        return reason if self.name in reason else f"{self.name}: {reason}"


class Matches(list[Match]):
    """The images found for some queries, one row each; a notebook shows a table, ``pandas.DataFrame`` takes it.

    Attributes:
        results: the same by query, including queries that nothing indexed is similar to.
        failures: queries that could not be answered.
    """

    def __init__(self, answers: Sequence[Result | Failure], images: ImageFiles) -> None:
        """List the matches of all results, in order; pictures are read from the files of indexed images."""
        self.results = [each for each in answers if isinstance(each, Result)]
        self.failures = [each for each in answers if isinstance(each, Failure)]
        self._images = images
        super().__init__(match for result in self.results for match in result.neighbors)

    def __repr__(self) -> str:
        lines = [f"{match.query}  {match.rank:4}  {match.likeness:3}  {match.words:12}  {match.key}" for match in self]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        table = "<tr>" + "".join(f"<th>{name}</th>" for name in ("", *Match._fields)) + "</tr>"
        for place, match in enumerate(self):
            cells = [self._thumbnail(match.key) if place < _PICTURES else "", *(escape(str(cell)) for cell in match)]
            table += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        return f"<table>{table}</table>" + "".join(f"<p>{escape(line)}</p>" for line in self._notes())

    def _thumbnail(self, key: str) -> str:
        """Return a small picture of an indexed image as HTML; nothing if its file is gone."""
        from similarity.data.images.decoding import read_image
        from similarity.data.images.pictures import PREVIEW_SIZE, encode_preview

        try:
            content = encode_preview(read_image(self._images / key, PREVIEW_SIZE))
        except (OSError, ValueError):
            return ""
        return f'<img src="data:image/jpeg;base64,{b64encode(content).decode()}" alt="">'

    def _notes(self) -> list[str]:
        unlike = [f"{result.query.name}: {NOTHING_SIMILAR}" for result in self.results if not result.similar]
        return [*unlike, *(f"error: {failure.reason}" for failure in self.failures)]

    def draw(self) -> Image.Image:
        """Draw a contact sheet with a row for each query: its first image, then the images found for it.

        An image that can no longer be read raises a `UserError`.
        """
        import numpy as np

        from similarity.data.images.pictures import TILE_SIZE, Tile, draw_sheet, tile_of
        from similarity.engine.embedding import pixels_of

        def shown(source: Source, name: str) -> np.ndarray:
            try:
                return pixels_of(source, TILE_SIZE)
            except (UserError, ValueError) as error:
                raise UserError(f"{name}: {error}") from error

        white, rows = np.full((1, 1, 3), 255, np.uint8), []
        for result in self.results:
            query, key = result.query, result.query.key
            caption = "query" if result.neighbors else "nothing similar"
            label, name = key.split("/") if key else (None, Path(query.name).name)
            source = self._images / key if key else (*query.images, white)[0]  # an embedding has no picture
            tiles = [Tile(shown(source, query.name), (f"{caption}  {label}" if label else caption, name), None)]
            found = [(shown(self._images / each.key, each.key), each) for each in result.neighbors]
            rows.append(tiles + [tile_of(pixels, each.key, str(each.likeness), label) for pixels, each in found])
        return draw_sheet(rows)
