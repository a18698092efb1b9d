"""What was asked for, and what was found for it, as records and as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, overload

import numpy as np

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # its types are a package of their own
    from PIL import Image

Picture: TypeAlias = "np.ndarray | Image.Image"
"""Pixels, RGB, uint8 (height, width, 3), or an image of Pillow."""


class Query(NamedTuple):
    """An image as it was asked for: its key if it is indexed, or else its file or its pixels."""

    name: str
    key: str | None
    source: "Path | Picture | None"


@dataclass(frozen=True)
class Result:
    """What was found for a query, as (key, cosine) pairs, best first, and with which index.

    `distance` is that of an image that is not indexed to the nearest indexed one, `max_distance` how far that may be.
    """

    query: Query
    index: str
    source: str
    neighbors: list[tuple[str, float]]
    distance: float = 0
    max_distance: float = 0

    @property
    def similar(self) -> bool:
        """Whether anything indexed is similar to the query; with a class or without, shown or not."""
        return self.distance <= self.max_distance


@dataclass(frozen=True)
class Failure:
    """What was asked for and cannot be answered, and the line that says why."""

    name: str
    reason: str


class Match(NamedTuple):
    """An image that was found for a query: its place, from 1, its key and class, and its similarity."""

    query: str
    rank: int
    key: str
    label: str
    cosine: float


class Matches(Sequence[Match]):
    """What was found for some queries, a row per image that was found; a notebook shows it as a table.

    Attributes:
        results: the same by query, with those for which nothing similar is indexed.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        """Lists what is in the results, in their order."""
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

    def __iter__(self) -> Iterator[Match]:
        return iter(self._rows)

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
        return [
            f"{result.query.name}: nothing similar is indexed: the nearest image is at a distance of "
            f"{result.distance:.4f}, up to {result.max_distance:.4f} is similar"
            for result in self.results
            if not result.similar
        ]

    def columns(self) -> dict[str, list]:
        """The table by its columns: ``query``, ``rank``, ``key``, ``label`` and ``cosine``."""
        return {name: [getattr(match, name) for match in self] for name in Match._fields}

    def to_pandas(self) -> "pandas.DataFrame":
        """The table as a data frame.

        Raises:
            ImportError: pandas is not installed; `columns` does without it.
        """
        import pandas

        return pandas.DataFrame(self.columns())


def _rows(result: Result) -> Iterator[Match]:
    for rank, (key, cosine) in enumerate(result.neighbors, start=1):
        yield Match(result.query.name, rank, key, key.split("/")[0], cosine)
