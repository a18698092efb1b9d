"""An approximate index that images were added to and removed from since it was built."""

import numpy as np

from similarity.index.backends import Searchable


class GrownIndex:
    """The index as it was built, and beside it what was added since, which every query is compared with.

    Neither Annoy nor a graph of Faiss can be changed in place. As in the segments of a search engine, what is new is
    few, so that comparing with all of it takes no time, and what was removed is passed over.
    """

    def __init__(self, built: Searchable, rows: np.ndarray, units: np.ndarray) -> None:
        """Joins them.

        Args:
            built: the index.
            rows: the row in `units` of each of its vectors, int64 (n,), ascending; −1 for what was removed.
            units: all vectors by now, as `normalize` gives them, float32 (N, d).
        """
        self.backend = built.backend
        self._built, self._rows, self._units = built, rows, units
        self._added = np.setdiff1d(np.arange(len(units)), rows)
        self._added_units = units[self._added]

    def search(self, query: np.ndarray, count: int, search_k: int) -> list[int]:
        found = self._rows[np.array(self._built.search(query, count, search_k), np.int64)]
        found = found[found >= 0]
        similarities = self._added_units @ query
        nearest = np.argsort(-similarities, kind="stable")[:count]
        rows = np.concatenate([found, self._added[nearest]])
        order = np.lexsort((rows, -np.concatenate([self._units[found] @ query, similarities[nearest]])))
        return rows[order][:count].tolist()

    def default_search_k(self, count: int) -> int:
        return self._built.default_search_k(count)


def grown_index(built: Searchable, rows: np.ndarray, units: np.ndarray) -> Searchable:
    """A `GrownIndex`, or the index as it was built if nothing was added or removed since."""
    return built if np.array_equal(rows, np.arange(len(units))) else GrownIndex(built, rows, units)
