"""Answering "which indexed images look like this one?" by cosine."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.errors import UserError
from similarity.index.backends import Backend
from similarity.index.feedback import move_query
from similarity.index.parts import LookUnavailableError
from similarity.index.vector_stores import Index, VectorStore
from similarity.vectors import normalize

_MAX_NAME_LENGTH = 200  # of what spellings are looked up for


class Neighbor(NamedTuple):
    """An indexed image, its similarity to the query, and its row in the manifest."""

    key: str
    label: str
    cosine: float
    row: int


@dataclass(frozen=True)
class Answer:
    """What was found, best first, among how many that could be, with which index, and the seconds that it took."""

    neighbors: list[Neighbor]
    matches: int
    index: Index
    seconds: float


class UnknownNameError(UserError):
    """A key, a class or an index that there is not; of keys and classes, the message names the nearest spellings."""


@dataclass(frozen=True)
class Searcher:
    """All indexed images. Safe to share between threads.

    Attributes:
        manifest: the images, N of them.
        vectors: their embeddings, float32 (N, E).
    """

    manifest: Manifest
    vectors: VectorStore

    @property
    def indexes(self) -> tuple[Index, Index]:
        """What can be searched: the exact one, and the approximate one by its backend's name."""
        return "exact", self.vectors.backend

    @property
    def default_index(self) -> Index:
        """The exact search while it is fast enough."""
        return self.vectors.default

    def __contains__(self, key: str) -> bool:
        """Whether an image is indexed."""
        return self._find_row(key) is not None

    def row(self, key: str) -> int:
        """The row of an image.

        Raises:
            UnknownNameError: it is not indexed.
        """
        row = self._find_row(key)
        if row is None:
            raise unknown_name("image", key, self.manifest.keys)
        return row

    def rows(self, label: str | None = None) -> np.ndarray:
        """The rows of the images of a class, or of all, ascending, int64 (n,).

        Raises:
            UnknownNameError: there is no such class.
        """
        if label is None:
            return np.arange(len(self.manifest.records))
        return np.flatnonzero(self.manifest.labels == self._class_number(label))

    def similar_to_row(
        self,
        row: int,
        count: int,
        label: str | None = None,
        index: Index | None = None,
        look: float | None = None,
        allowed: np.ndarray | None = None,
    ) -> Answer:
        """Finds the images most similar to an indexed one, itself left out; see `similar`."""
        return self._find(self.vectors[row], count, label, index, look, allowed, [row])

    def similar(
        self,
        embedding: np.ndarray,
        count: int,
        label: str | None = None,
        index: Index | None = None,
        look: float | None = None,
        allowed: np.ndarray | None = None,
        excluded: Sequence[int] = (),
    ) -> Answer:
        """Finds the images most similar to an embedding.

        Args:
            embedding: float32 (E,), of any length.
            count: how many images to give; fewer are given where there are no more.
            label: the only class to give.
            index: which one to search; None for `default_index`, or for the exact one if there is a `look`.
            look: weight of the visual part in the cosines, 0 (same kind) … 1 (same look); None for the weight that the
                embeddings and the indexes have. Any other needs the exact search.
            allowed: the only rows to give, bool (N,); None is all.
            excluded: rows not to give.

        Raises:
            UnknownNameError: there is no such class, or the approximate index is of another backend.
            LookUnavailableError: the embeddings have no two parts, or the index is not the exact one.
        """
        return self._find(normalize(embedding[None])[0], count, label, index, look, allowed, excluded)

    def combine(self, embeddings: np.ndarray, like: Sequence[int] = (), unlike: Sequence[int] = ()) -> np.ndarray:
        """Makes one query of several, and moves it by what was liked and what was not; each of its parts for itself.

        Args:
            embeddings: float32 (n, E), of any length; a single one that nothing moves is given back as it is.
            like: rows of images like those that are wanted; there must be some if there are no embeddings.
            unlike: rows of images unlike those that are wanted.

        Returns:
            float32 (E,).
        """
        if len(embeddings) == 1 and not like and not unlike:
            return embeddings[0]
        given = normalize(embeddings), self.vectors[list(like)], self.vectors[list(unlike)]
        moved = [length * move_query(*(each[:, part] for each in given)) for part, length in self.vectors.parts.lengths]
        return np.concatenate(moved).astype(np.float32)

    def _find_row(self, key: str) -> int | None:
        row = bisect_left(self.manifest.keys, key)
        return row if row < len(self.manifest.keys) and self.manifest.keys[row] == key else None

    def _index(self, index: Index | None, look: float | None) -> Index:
        index = index or (self.default_index if look is None else "exact")
        if index not in self.indexes:
            raise UnknownNameError(f"there is no index by {index}, but by {self.vectors.backend}{_how_to_get(index)}")
        if look is not None and index != "exact":
            raise LookUnavailableError(f"the index by {index} has one look for all queries: search with the exact one")
        return index

    def _find(
        self,
        unit: np.ndarray,
        count: int,
        label: str | None,
        index: Index | None,
        look: float | None,
        allowed: np.ndarray | None,
        excluded: Sequence[int],
    ) -> Answer:
        start, index = time.perf_counter(), self._index(index, look)
        allowed = self._allow(label, allowed)
        matches = self._count(allowed, excluded)
        count = min(count, matches)
        if count == 0:
            rows, cosines = np.empty(0, np.int64), np.empty(0)
        else:
            rows, cosines = self.vectors.nearest(unit, count, index == "exact", look, allowed, excluded)
        records = ((row, self.manifest.records[row]) for row in rows.tolist())
        neighbors = [
            Neighbor(record.path, record.label, cosine, row)
            for (row, record), cosine in zip(records, cosines.tolist(), strict=True)
        ]
        return Answer(neighbors, matches, index, time.perf_counter() - start)

    def _allow(self, label: str | None, allowed: np.ndarray | None) -> np.ndarray | None:
        """The rows of a class among those that are allowed; None is all."""
        if label is None:
            return allowed
        of_class = self.manifest.labels == self._class_number(label)
        return of_class if allowed is None else of_class & allowed

    def _count(self, allowed: np.ndarray | None, excluded: Sequence[int]) -> int:
        if allowed is None:
            return len(self.vectors) - len(set(excluded))
        return int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[list(set(excluded))]))

    def _class_number(self, label: str) -> int:
        if label not in self.manifest.folders:
            raise unknown_name("class", label, self.manifest.folders)
        return self.manifest.folders.index(label)


def _how_to_get(index: Index) -> str:
    return ": set ann.backend in params.yaml, and run `dvc repro`" if index in get_args(Backend) else ""


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """The error for a name that is none of the known ones, with the nearest of these."""
    from rapidfuzz import process

    name = name[:_MAX_NAME_LENGTH]
    near = ", ".join(match for match, _, _ in process.extract(name, known, limit=3, score_cutoff=50))
    return UnknownNameError(f"no {kind} {name!r} is indexed" + (f"; near it are: {near}" if near else ""))
