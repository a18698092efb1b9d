"""Where the embeddings are that are searched: in memory, or in a vector database behind the same interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from annoy import AnnoyIndex

from similarity.data.vectors import nearest_to, normalize
from similarity.engine.results import Index
from similarity.errors import UserError
from similarity.index import search_forest

if TYPE_CHECKING:
    from similarity.engine.published import PublishedStore

VectorStore: TypeAlias = "InMemoryStore | PublishedStore"
_ASKED, _LIKED, _UNLIKED = 1.0, 0.75, -0.15
"""Weights of Manning, Raghavan & Schütze, "Introduction to Information Retrieval", 2008, section 9.1.1."""


class LookUnavailableError(UserError):
    """The embeddings or the index cannot weigh the two parts differently."""


@dataclass(frozen=True)
class Parts:
    """How an embedding is made of a class part and, after it, a visual part."""

    size: int  # of an embedding, E
    class_size: int
    visual_weight: float  # of the visual part in a cosine, 0…1

    @property
    def are_two(self) -> bool:
        """Whether both parts exist, so that a look can choose between them."""
        return 0 < self.class_size < self.size and 0 < self.visual_weight < 1

    def restore(self, units: np.ndarray) -> np.ndarray:
        """Scale embeddings of length 1, float32 (n, E), so that each part has the length that its weight gives it.

        Only rows with one part of zeros change.
        """
        lengths = np.ones((len(units), 1), np.float32)
        lengths[~units[:, : self.class_size].any(axis=1)] = self.visual_weight**0.5
        lengths[~units[:, self.class_size :].any(axis=1)] = (1 - self.visual_weight) ** 0.5
        return units if (lengths == 1).all() else units * lengths

    def weigh(self, unit: np.ndarray, look: float) -> np.ndarray:
        """Scale both parts of a query, float32 (E,), by a look, so that products with restored embeddings are cosines.

        If there is only one part, raise a `LookUnavailableError`.
        """
        if not self.are_two:
            needed = "class folders, embedding.visual_size above 0 and embedding.visual_weight between 0 and 1"
            raise LookUnavailableError(
                f"these embeddings have one part only, and no look to choose: {needed} give both"
            )
        parts = unit[: self.class_size], unit[self.class_size :]
        weights = (1 - look) / (1 - self.visual_weight) ** 0.5, look / self.visual_weight**0.5
        scaled = [weight * normalize(part[None])[0] for part, weight in zip(parts, weights, strict=True)]
        return np.concatenate(scaled).astype(np.float32)

    def combine(self, asked: np.ndarray, liked: np.ndarray, unliked: np.ndarray) -> np.ndarray:
        """Join queries into one, moved towards liked images and away from unliked ones, each part on its own.

        The result is the weighted sum of three means (Rocchio, "Relevance feedback in information retrieval", 1971).
        Unlike Rocchio's term counts, an embedding may hold negative numbers.

        All are float32 (n, E), of any length, and so is the result, (E,). A single query that nothing moves stays.
        """
        if len(asked) == 1 and not len(liked) and not len(unliked):
            return asked[0]
        weighted = [(_ASKED, asked), (_LIKED, liked), (_UNLIKED, unliked)]
        parts = [(slice(None), 1.0)]
        if self.are_two:
            lengths = (1 - self.visual_weight) ** 0.5, self.visual_weight**0.5
            parts = [(slice(self.class_size), lengths[0]), (slice(self.class_size, None), lengths[1])]
        moved = []
        for part, length in parts:
            means = [weight * normalize(given[:, part]).mean(axis=0) for weight, given in weighted if len(given)]
            moved.append(length * normalize(np.sum(means, axis=0)[None])[0])
        return np.concatenate(moved).astype(np.float32)


@dataclass
class InMemoryStore:
    """The embeddings of N images at length 1, with an Annoy forest over them."""

    units: np.ndarray  # float32 (N, E)
    forest: AnnoyIndex
    search_k: int  # candidates that an approximate search examines
    parts: Parts
    backend: Index = "annoy"  # the name of the approximate search

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the embedding of a row, float32 (E,), or of m rows, (m, E)."""
        return self.units[rows]

    def nearest(
        self, unit: np.ndarray, count: int, exact: bool, look: float | None = None, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the rows most similar to a query of length 1, or all zeros, float32 (E,), as `nearest_to` does.

        An exact search compares it with all rows; a look is the weight of the visual part, for an exact search.
        """
        if look is not None:
            return nearest_to(self._restored, self.parts.weigh(unit, look), count, allowed)
        if exact:
            return nearest_to(self.units, unit, count, allowed)
        return search_forest(self.forest, self.units, unit, count, self.search_k, allowed)

    @cached_property
    def _restored(self) -> np.ndarray:
        return self.parts.restore(self.units)
