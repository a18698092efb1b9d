"""Answering "which indexed images look like this one?" from embeddings that are in memory."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.errors import UserError
from similarity.index.approximate import search_index
from similarity.index.backends import AnnIndex
from similarity.index.exact import nearest_to
from similarity.index.feedback import move_query
from similarity.vectors import normalize

Index = Literal["exact", "annoy", "faiss"]
_EXACT_UP_TO = 1_000_000  # images; comparing with more takes longer than running the backbone
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


class LookUnavailableError(UserError):
    """A look was asked for that the embeddings or the index cannot give."""


@dataclass(frozen=True)
class Searcher:
    """All indexed images. Safe to share between threads.

    Attributes:
        manifest: the images, N of them.
        units: their embeddings at length 1, float32 (N, E).
        index: the approximate index, over `units` or over the embeddings as they are.
        search_k: candidates that it looks at per query; None is its default.
        class_size: length of the class part, with which an embedding begins.
        visual_weight: of the visual part in a cosine, 0…1.
    """

    manifest: Manifest
    units: np.ndarray
    index: AnnIndex
    search_k: int | None
    class_size: int
    visual_weight: float

    @property
    def has_both_parts(self) -> bool:
        """Whether there are a class part and a visual part, between which `look` can choose."""
        return 0 < self.class_size < self.units.shape[1] and 0 < self.visual_weight < 1

    @property
    def indexes(self) -> tuple[Index, Index]:
        """What can be searched: the exact one, and the approximate one by its backend's name."""
        return "exact", self.index.backend

    @property
    def default_index(self) -> Index:
        """The exact search while it is fast enough."""
        return self.indexes[len(self.units) > _EXACT_UP_TO]

    def row(self, key: str) -> int:
        """The row of an image.

        Raises:
            UnknownNameError: it is not indexed.
        """
        row = bisect_left(self.manifest.keys, key)
        if row < len(self.manifest.keys) and self.manifest.keys[row] == key:
            return row
        raise unknown_name("image", key, self.manifest.keys)

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
        return self._find(self.units[row], count, label, index, look, allowed, [row])

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
        given = normalize(embeddings), self.units[list(like)], self.units[list(unlike)]
        moved = [length * move_query(*(each[:, part] for each in given)) for part, length in self._part_lengths]
        return np.concatenate(moved).astype(np.float32)

    def _index(self, index: Index | None, look: float | None) -> Index:
        index = index or (self.default_index if look is None else "exact")
        if index not in self.indexes:
            raise UnknownNameError(
                f"there is no index by {index}, but by {self.index.backend}: set ann.backend in params.yaml, "
                "and run `dvc repro`"
            )
        if look is not None and index != "exact":
            raise LookUnavailableError(f"the index by {index} has one look for all queries: search with the exact one")
        return index

    @property
    def _part_lengths(self) -> list[tuple[slice, float]]:
        """The parts of an embedding, and their lengths where none is all zeros."""
        if not self.has_both_parts:
            return [(slice(None), 1.0)]
        weights = 1 - self.visual_weight, self.visual_weight
        return list(zip((slice(self.class_size), slice(self.class_size, None)), np.sqrt(weights), strict=True))

    @cached_property
    def _parts(self) -> np.ndarray:
        """The units with each part at the length that it has where no part is all zeros, float32 (N, E)."""
        lengths = np.ones((len(self.units), 1), np.float32)
        lengths[~self.units[:, : self.class_size].any(axis=1)] = self.visual_weight**0.5
        lengths[~self.units[:, self.class_size :].any(axis=1)] = (1 - self.visual_weight) ** 0.5
        return self.units if (lengths == 1).all() else self.units * lengths

    def _weigh(self, unit: np.ndarray, look: float) -> np.ndarray:
        """Weighs the parts of a query, so that its products with `_parts` are the cosines for a look."""
        if not self.has_both_parts:
            raise LookUnavailableError(
                "these embeddings have one part only, so there is no look to choose: both parts need class folders, "
                "and embedding.visual_size above 0 and embedding.visual_weight between 0 and 1 in params.yaml"
            )
        parts = unit[: self.class_size], unit[self.class_size :]
        weights = (1 - look) / (1 - self.visual_weight) ** 0.5, look / self.visual_weight**0.5
        scaled = [weight * normalize(part[None])[0] for part, weight in zip(parts, weights, strict=True)]
        return np.concatenate(scaled).astype(np.float32)

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
        query = unit if look is None else self._weigh(unit, look)
        units = self.units if look is None else self._parts
        allowed = self._allow(label, allowed)
        matches = self._count(allowed, excluded)
        count = min(count, matches)
        if count == 0:
            rows, cosines = np.empty(0, np.int64), np.empty(0)
        elif index == "exact":
            rows, cosines = nearest_to(units, query, count, allowed, excluded)
        else:
            rows, cosines = search_index(self.index, units, query, count, self.search_k, allowed, excluded)
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
            return len(self.units) - len(set(excluded))
        return int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[list(set(excluded))]))

    def _class_number(self, label: str) -> int:
        if label not in self.manifest.folders:
            raise unknown_name("class", label, self.manifest.folders)
        return self.manifest.folders.index(label)


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """The error for a name that is none of the known ones, with the nearest of these."""
    from rapidfuzz import process

    name = name[:_MAX_NAME_LENGTH]
    near = ", ".join(match for match, _, _ in process.extract(name, known, limit=3, score_cutoff=50))
    return UnknownNameError(f"no {kind} {name!r} is indexed" + (f"; near it are: {near}" if near else ""))
