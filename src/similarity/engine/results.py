"""Queries and what is found for them, as records, as a table, and as a contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from similarity.errors import UserError

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # its types are a package of their own
    from PIL import Image

    from similarity.data.images.query_images import Region
    from similarity.engine.embedding import Embedded
    from similarity.engine.project import ImageFiles
    from similarity.engine.stores import Index
    from similarity.findings.finding import FindingKind

Picture: TypeAlias = "np.ndarray | Image.Image"
"""Pixels, RGB, uint8 (height, width, 3), or an image of Pillow."""
Source: TypeAlias = "Path | bytes | Picture"
"""An image that is not indexed: a file, an upload, or pixels. Uploads are decoded with care, as nobody knows them."""


@dataclass(frozen=True)
class Query:
    """Images that make one query together."""

    name: str  # in messages
    keys: Sequence[str] = ()  # of indexed images
    images: Sequence[Source] = ()  # others
    like: Sequence[str] = ()  # keys of images to move the query towards
    unlike: Sequence[str] = ()  # keys of images to move it away from
    region: "Region | None" = None  # of the only image; a key then only leaves itself out of the answer

    @property
    def key(self) -> str | None:
        """The key of the indexed image that is all of the query, if it is one."""
        is_one = len(self.keys) == 1 and not (self.images or self.like or self.unlike)
        return self.keys[0] if is_one else None


@dataclass(frozen=True)
class Options:
    """How to search."""

    count: int  # neighbors to return
    label: str | None = None  # the only class to return
    index: "Index | None" = None  # None for the default
    look: float | None = None  # weight of the visual part, 0 (same kind) … 1 (same look); None as in the embeddings
    split: str | None = None  # the only split to return
    finding: "FindingKind | str | None" = None  # return only images with this kind, with ``any`` or with ``none``
    any: bool = False  # return the nearest images even if none is similar
    offset: int = 0  # nearest images to skip
    stored: bool = True  # whether stored neighbors may answer

    @property
    def end(self) -> int:
        """How many neighbors to find."""
        return self.offset + self.count

    @property
    def is_plain(self) -> bool:
        """Whether the stored neighbors of an image are what is asked for."""
        filters = self.label, self.split, self.finding, self.look
        return self.stored and all(each is None for each in filters) and self.index in {None, "exact"}


class Prepared(NamedTuple):
    """A query as it is compared with the gallery."""

    query: Query
    embedding: np.ndarray | None = None  # float32 (E,); None for an indexed image, whose stored neighbors may do
    excluded: Sequence[int] = ()  # rows not to return
    embedded: "Sequence[Embedded]" = ()  # the images of the query that are not indexed
    distance: float | None = None  # of the nearest of these to the gallery, in the features; None with indexed ones
    seconds: float | None = None  # that embedding took, if there was any


@dataclass(frozen=True)
class Result:
    """The images found for a query."""

    query: Query
    index: "Index"  # that was searched
    source: str  # the file of stored neighbors, or a search
    neighbors: list[tuple[str, float]]  # keys and cosines, best first
    matches: int | None = None  # images that could be returned in all; None if neighbors are stored
    seconds: float = 0  # the search took
    distance: float | None = None  # to the nearest indexed image, in the features; None if the query is indexed
    max_distance: float | None = None  # up to which an image is similar to something; None if the query is indexed

    @property
    def similar(self) -> bool:
        """Whether anything indexed is similar to the query, shown or not."""
        return self.distance is None or self.max_distance is None or self.distance <= self.max_distance

    def explain_novelty(self) -> str:
        """Say why nothing is similar."""
        return (
            f"nothing similar is indexed: the nearest image is at a distance of {self.distance:.4f}, up to "
            f"{self.max_distance:.4f} is similar"
        )


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


class Match(NamedTuple):
    """A row of the table: an image found for a query, its rank from 1, its key, its class, and its similarity."""

    query: str
    rank: int
    key: str
    label: str
    cosine: float


class Matches(list[Match]):
    """The images found for some queries, one row each; a notebook shows a table.

    Attributes:
        results: the same by query, including queries that nothing indexed is similar to.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        """List the neighbors of all results, in order."""
        super().__init__(
            Match(result.query.name, rank, key, key.split("/")[0], cosine)
            for result in results
            for rank, (key, cosine) in enumerate(result.neighbors, start=1)
        )
        self.results = list(results)

    def __repr__(self) -> str:
        lines = [f"{match.query}  {match.rank:4}  {match.cosine:.4f}  {match.key}" for match in self]
        return "\n".join([*lines, *self._without_similar()])

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Sequence[object]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row("td", [*match[:4], f"{match.cosine:.4f}"]) for match in self)
        notes = "".join(f"<p>{escape(line)}</p>" for line in self._without_similar())
        return f"<table><thead>{row('th', Match._fields)}</thead><tbody>{body}</tbody></table>{notes}"

    def _without_similar(self) -> list[str]:
        return [f"{result.query.name}: {result.explain_novelty()}" for result in self.results if not result.similar]

    def columns(self) -> dict[str, list]:
        """Return the table by column: ``query``, ``rank``, ``key``, ``label`` and ``cosine``."""
        return {name: [getattr(match, name) for match in self] for name in Match._fields}

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the table as a data frame, if pandas is installed; `columns` does not need it."""
        import pandas

        return pandas.DataFrame(self.columns())


def draw_matches(matches: Matches, images: "ImageFiles") -> "Image.Image":
    """Draw a contact sheet with a row for each query: its first image, then the images found for it.

    Raises:
        UserError: an image can no longer be read.
    """
    from similarity.data.images.sheets import TILE_SIZE, Tile, draw_sheet, tile_of
    from similarity.engine.embedding import pixels_of

    def shown(source: Source, name: str) -> np.ndarray:
        try:
            return pixels_of(source, TILE_SIZE)
        except (UserError, ValueError) as error:
            raise UserError(f"{name}: {error}") from error

    rows = []
    for result in matches.results:
        query, key = result.query, result.query.key
        pixels = shown(images / key if key else query.images[0], query.name)
        first = tile_of(pixels, key, "query", None) if key else Tile(pixels, ("query", Path(query.name).name), None)
        label = key.split("/")[0] if key else None
        found = ((shown(images / other, other), other, f"{cosine:.3f}") for other, cosine in result.neighbors)
        rows.append([first, *(tile_of(*each, label) for each in found)])
    return draw_sheet(rows)
