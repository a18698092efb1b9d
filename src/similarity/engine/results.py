"""Queries and what is found for them, as records and as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, overload

import numpy as np

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # its types are a package of their own
    from PIL import Image

    from similarity.findings.finding import FindingKind
    from similarity.images.query_images import Region
    from similarity.index.stores import Index

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

    def without_neighbors(self) -> "Result":
        """Return the same result without the images, which are only the nearest and not similar."""
        return replace(self, neighbors=[], matches=0)

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


class Matches(Sequence[Match]):
    """The images found for some queries, one row each; a notebook shows a table.

    Attributes:
        results: the same by query, including queries that nothing indexed is similar to.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        """List the neighbors of all results, in order."""
        self.results = list(results)
        self._rows = [row for result in results for row in _rows(result)]

    @overload
    def __getitem__(self, place: int) -> Match: ...
    @overload
    def __getitem__(self, place: slice) -> list[Match]: ...
    def __getitem__(self, place: int | slice) -> Match | list[Match]:
        return self._rows[place]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        lines = [f"{match.query}  {match.rank:4}  {match.cosine:.4f}  {match.key}" for match in self]
        return "\n".join([*lines, *self._without_similar()])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in Match._fields)
        body = "".join(
            f"<tr><td>{escape(query)}</td><td>{rank}</td><td>{escape(key)}</td><td>{escape(label)}</td>"
            f"<td>{cosine:.4f}</td></tr>"
            for query, rank, key, label, cosine in self
        )
        notes = "".join(f"<p>{escape(line)}</p>" for line in self._without_similar())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def _without_similar(self) -> list[str]:
        return [f"{result.query.name}: {result.explain_novelty()}" for result in self.results if not result.similar]

    def columns(self) -> dict[str, list]:
        """Return the table by column: ``query``, ``rank``, ``key``, ``label`` and ``cosine``."""
        return {name: [getattr(match, name) for match in self] for name in Match._fields}

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the table as a data frame.

        Raises:
            ImportError: pandas is not installed; `columns` does not need it.
        """
        import pandas

        return pandas.DataFrame(self.columns())


def _rows(result: Result) -> Iterator[Match]:
    for rank, (key, cosine) in enumerate(result.neighbors, start=1):
        yield Match(result.query.name, rank, key, key.split("/")[0], cosine)
