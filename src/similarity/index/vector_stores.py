"""Where the embeddings are that are searched: in memory, or in a vector database behind the same interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from similarity.index.approximate import search_index
from similarity.index.backends import Searchable
from similarity.index.exact import nearest_to
from similarity.index.parts import Parts

Index = Literal["exact", "annoy", "faiss", "lancedb"]
_EXACT_UP_TO = 1_000_000  # images; comparing with more takes longer than running the backbone


class VectorStore(Protocol):
    """The embeddings of all indexed images at length 1, N of length E. Safe to share between threads."""

    @property
    def parts(self) -> Parts:
        """What an embedding is made of."""

    @property
    def backend(self) -> Index:
        """The name of its approximate search."""

    @property
    def search_k(self) -> int | None:
        """Candidates that it looks at per query, where that was chosen."""

    @property
    def default(self) -> Index:
        """What is searched where nobody chooses: the exact search while it is fast enough."""

    def __len__(self) -> int:
        """The number of images, N."""

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        """The embedding of a row, float32 (E,), or of some, (m, E); rows are numbers."""

    def nearest(
        self,
        unit: np.ndarray,
        count: int,
        exact: bool,
        look: float | None = None,
        allowed: np.ndarray | None = None,
        excluded: Sequence[int] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the rows most similar to a query.

        Args:
            unit: of length 1 or all zeros, float32 (E,).
            count: how many rows to give, at least 1; as many must be allowed.
            exact: whether to compare with all rows.
            look: weight of the visual part in the cosines, for an exact search; None is that of the embeddings.
            allowed: the only rows to give, bool (N,); None is all.
            excluded: rows not to give.

        Returns:
            The rows, int64 (count,), best first, and their cosines, rounded to 6 decimals, float64 (count,). Ties go
            by row.

        Raises:
            LookUnavailableError: there is a look, and the embeddings have one part only.
        """


@dataclass(frozen=True)
class InMemoryStore:
    """Embeddings in memory.

    Attributes:
        units: all of them, float32 (N, E).
        index: the approximate index, over `units` or over the embeddings as they are.
        search_k: candidates that it looks at per query; None is its default.
        parts: what an embedding is made of.
    """

    units: np.ndarray
    index: Searchable
    search_k: int | None
    parts: Parts

    @property
    def backend(self) -> Index:
        return self.index.backend

    @property
    def default(self) -> Index:
        return "exact" if len(self.units) <= _EXACT_UP_TO else self.backend

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        return self.units[rows]

    def nearest(
        self,
        unit: np.ndarray,
        count: int,
        exact: bool,
        look: float | None = None,
        allowed: np.ndarray | None = None,
        excluded: Sequence[int] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        if look is not None:
            return nearest_to(self._restored, self.parts.weigh(unit, look), count, allowed, excluded)
        if exact:
            return nearest_to(self.units, unit, count, allowed, excluded)
        return search_index(self.index, self.units, unit, count, self.search_k, allowed, excluded)

    @cached_property
    def _restored(self) -> np.ndarray:
        return self.parts.restore(self.units)
