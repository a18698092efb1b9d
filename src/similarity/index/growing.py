"""Lists of neighbors brought up to date when rows are added and removed, without comparing all rows with all again."""

from collections.abc import Callable, Iterable

import numpy as np

from similarity.index.exact import COSINE_ERROR
from similarity.index.neighbor_lists import NeighborLists
from similarity.vectors import COSINE_DECIMALS

_SIMILARITIES_PER_BLOCK = 1 << 20
_PAIRS_PER_BLOCK = 4096


def grow_neighbors(
    units: np.ndarray,
    origins: np.ndarray,
    before: NeighborLists,
    count: int,
    search: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    progress: Callable[[range], Iterable[int]] = iter,
) -> NeighborLists:
    """Gives the lists that a search of all rows would, if those before are what such a search gave.

    A list changes only where an added row is as similar as the last of it, or where a row of it was removed: then what
    follows is not known, and the row is searched for again.

    Args:
        units: all rows by now, as `normalize` gives them, float32 (n, d).
        origins: the row that each had before, int64 (n,), ascending; −1 for what was added.
        before: the lists by these rows, of k neighbors each, which are all others if k is less than `count`.
        count: neighbors per row, less than n.
        search: finds the neighbors of some rows, int64 (m,), among all: rows and cosines, (m, count).
        progress: wraps the iteration over blocks of rows.
    """
    lists = NeighborLists(np.empty((len(units), count), np.int64), np.empty((len(units), count)))
    added, kept = np.flatnonzero(origins < 0), np.flatnonzero(origins >= 0)
    row_of = np.full(len(before.rows), -1)
    row_of[origins[kept]] = kept
    moved = row_of[before.rows[origins[kept]]]
    is_whole = (moved >= 0).all(axis=1)
    whole, unknown = kept[is_whole], np.sort(np.concatenate([added, kept[~is_whole]]))
    old = NeighborLists(moved[is_whole], before.cosines[origins[whole]])
    size = max(1, _SIMILARITIES_PER_BLOCK // max(1, len(added)))
    for start in progress(range(0, len(whole), size)):
        block = slice(start, start + size)
        merged = _merge(units, whole[block], added, NeighborLists(old.rows[block], old.cosines[block]), count)
        lists.rows[whole[block]], lists.cosines[whole[block]] = merged
    if len(unknown):
        lists.rows[unknown], lists.cosines[unknown] = search(unknown)
    return lists


def _merge(units: np.ndarray, rows: np.ndarray, added: np.ndarray, old: NeighborLists, count: int) -> NeighborLists:
    """Puts added rows into the lists of some rows, (b, k), where they belong; gives the first `count` of each."""
    is_full = old.rows.shape[1] >= count
    least = old.cosines[:, count - 1 : count] - COSINE_ERROR if is_full and count else -np.inf
    places, columns = np.nonzero(units[rows] @ units[added].T >= least)
    cosines = _true_cosines(units, rows[places], added[columns])
    listed = np.repeat(np.arange(len(rows)), old.rows.shape[1])
    places, found = np.concatenate([listed, places]), np.concatenate([old.rows.ravel(), added[columns]])
    cosines = np.concatenate([old.cosines.ravel(), cosines])
    order = np.lexsort((found, -cosines, places))
    ranks = np.arange(len(order)) - np.searchsorted(places[order], np.arange(len(rows)))[places[order]]
    first = order[ranks < count]
    return NeighborLists(found[first].reshape(len(rows), count), cosines[first].reshape(len(rows), count))


def _true_cosines(units: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosines of pairs of rows, (m,) each, in double precision and rounded, float64 (m,)."""
    cosines = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_PER_BLOCK):
        block = slice(start, start + _PAIRS_PER_BLOCK)
        cosines[block] = np.einsum("md,md->m", units[first[block]], units[second[block]], dtype=np.float64)
    return cosines.round(COSINE_DECIMALS) + 0.0
