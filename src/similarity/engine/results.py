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

    from similarity.engine.embedding import Embedded
    from similarity.engine.project import ImageFiles
    from similarity.engine.stores import Index
    from similarity.findings.finding import FindingKind
    from similarity.images.regions import Region

Picture: TypeAlias = "np.ndarray | Image.Image"
"""Pixels, RGB, uint8 (height, width, 3), or an image of Pillow."""
Source: TypeAlias = "Path | bytes | Picture"
"""An image that is not indexed: a file, an upload, or pixels. Uploads are decoded with care, as nobody knows them."""


@dataclass(frozen=True)
class Query:
    """Images that make one query together.

    Attributes:
        name: how messages call it.
        keys: indexed images.
        images: others.
        like: keys of images to move the query towards.
        unlike: keys of images to move the query away from.
        region: the part of the only image to search with; a key then only leaves itself out of the answer.
    """

    name: str
    keys: Sequence[str] = ()
    images: Sequence[Source] = ()
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    region: "Region | None" = None

    @property
    def key(self) -> str | None:
        """The key of the indexed image that is all of the query, if it is one."""
        is_one = len(self.keys) == 1 and not (self.images or self.like or self.unlike)
        return self.keys[0] if is_one else None


@dataclass(frozen=True)
class Options:
    """How to search.

    Attributes:
        count: number of neighbors to return.
        label: the only class to return.
        index: the index to search; None for the default.
        look: weight of the visual part, 0 (same kind) … 1 (same look); None for that of the embeddings.
        split: the only split to return.
        finding: return only images with a finding of this kind, with ``any`` or with ``none``.
        any: return the nearest images even if none is similar.
        offset: number of nearest images to skip.
        stored: whether stored neighbors may answer.
    """

    count: int
    label: str | None = None
    index: "Index | None" = None
    look: float | None = None
    split: str | None = None
    finding: "FindingKind | str | None" = None
    any: bool = False
    offset: int = 0
    stored: bool = True

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
    """A query as it is compared with the gallery.

    Attributes:
        query: the query.
        embedding: float32 (E,); None for an indexed image, whose stored neighbors may do.
        excluded: rows not to return.
        embedded: the images of the query that are not indexed.
        distance: from the nearest of these to the gallery, in the features, if no image of the query is indexed.
        seconds: that embedding took, if there was any.
    """

    query: Query
    embedding: np.ndarray | None = None
    excluded: Sequence[int] = ()
    embedded: "Sequence[Embedded]" = ()
    distance: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Result:
    """The images found for a query.

    Attributes:
        query: the query.
        index: the index that was searched.
        source: where the neighbors come from: the file of stored neighbors, or a search.
        neighbors: (key, cosine) pairs, best first.
        matches: how many images could be returned in all; None if neighbors are stored.
        seconds: the search took.
        distance: from the query to the nearest indexed image, in the features; None if it is indexed.
        max_distance: the distance up to which an image is similar to something; None if the query is indexed.
    """

    query: Query
    index: "Index"
    source: str
    neighbors: list[tuple[str, float]]
    matches: int | None = None
    seconds: float = 0
    distance: float | None = None
    max_distance: float | None = None

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
    from similarity.engine.embedding import pixels_of
    from similarity.pictures.sheets import TILE_SIZE, Tile, draw_sheet, tile_of

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
