"""Exact nearest neighbors by cosine."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import local

import numpy as np

from similarity.vectors import COSINE_DECIMALS, normalize

_SCALE = 10**COSINE_DECIMALS
_ROWS_PER_TILE = 1500  # the fewer, the more calls; the square of similarities should fit the processor's caches
_RUN_LENGTH = 64  # columns whose maximum stands for them,
_RUNS_PER_NEIGHBOR = 8  # but fewer where the maxima would bound the k-th best badly
_BELOW_EVERY_COSINE = -2
_TIE = 2 / _SCALE  # cosines that differ by more are no tie after rounding
_ALL = slice(None)
_scratch = local()


def nearest_neighbors(
    embeddings: np.ndarray, top_k: int, progress: Callable[[range], Iterable[int]] = iter
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the most similar other rows of every row, by comparing each pair of rows once.

    The rows are put into 2ᵐ tiles of rows that lie near each other. In round r, tile i meets tile i XOR r: every tile
    meets one other, so the threads share nothing, and the near ones meet first, so in later rounds nearly all
    similarities are dropped as soon as they are computed. Rows to which no vector in the box around the other tile can
    be near enough are not compared at all, as in a k-d tree (Friedman, Bentley & Finkel, 1977). Memory:
    O(n · (d + top_k)), and a square of tiles per thread.

    Args:
        embeddings: float32 (n, d); rows need not have length 1.
        top_k: neighbors per row; fewer are given where there are no more.
        progress: wraps the iteration over the rounds.

    Returns:
        The neighbors' rows, int64 (n, k), best first, and their cosines, rounded to 6 decimals, float64 (n, k), with
        k = min(top_k, n − 1). Ties go by row.
    """
    from threadpoolctl import threadpool_limits

    units, count = normalize(embeddings), min(top_k, len(embeddings) - 1)
    halvings = (-(-len(units) // _ROWS_PER_TILE) - 1).bit_length()
    tiles = [_Tile(rows, units[rows], count, len(units)) for rows in _halve(units, halvings)]
    # Threads of BLAS would spin between the products.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        for distance in progress(range(len(tiles))):
            pairs = [(tile, tiles[i ^ distance]) for i, tile in enumerate(tiles) if i <= i ^ distance]
            for _ in pool.map(_compare, pairs):
                pass  # raises what was raised
    best = np.empty((len(units), count), np.int64)
    for tile in tiles:
        best[tile.rows] = tile.best
    return _unpack(best, len(units))


def nearest_to(
    units: np.ndarray,
    query: np.ndarray,
    count: int,
    allowed: np.ndarray | None = None,
    excluded: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the rows most similar to one vector, by comparing it with all of them.

    Args:
        units: what `normalize` gives, float32 (n, d).
        query: of length 1 or all zeros, float32 (d,).
        count: how many rows to give, at least 1; as many must be allowed.
        allowed: the only rows to give, bool (n,); None is all.
        excluded: a row not to give.

    Returns:
        The rows, int64 (count,), best first, and their cosines, rounded to 6 decimals, float64 (count,). Ties go by
        row.
    """
    similarities = units @ query
    if allowed is not None:
        similarities[~allowed] = _BELOW_EVERY_COSINE
    if excluded is not None:
        similarities[excluded] = _BELOW_EVERY_COSINE
    return _unpack(_select(similarities[None], count)[0], len(units))


def highest_cosines(queries: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The cosine of each query to the row nearest to it, rounded to 6 decimals, float64 (n,).

    Args:
        queries: what `normalize` gives, float32 (n, d).
        units: likewise, float32 (m, d), at least one.
    """
    blocks = (queries[start : start + _ROWS_PER_TILE] for start in range(0, len(queries), _ROWS_PER_TILE))
    return np.concatenate([(block @ units.T).max(axis=1).astype(np.float64) for block in blocks]).round(COSINE_DECIMALS)


def _select(similarities: np.ndarray, count: int) -> np.ndarray:
    """Finds the highest `count` similarities of each row.

    Nearly all are dropped without being sorted: the columns are looked at in runs, and of the runs' maxima the k-th
    highest is a lower bound of the k-th highest similarity.

    Args:
        similarities: float32 (b, m).
        count: at most m.

    Returns:
        What `_pack` makes of the similarities and their columns, int64 (b, count), best first.
    """
    columns = similarities.shape[1]
    runs = max(columns // _RUN_LENGTH, min(columns, _RUNS_PER_NEIGHBOR * count))
    whole = columns // runs * runs
    maxima = similarities[:, :whole].reshape(len(similarities), -1, runs).max(axis=1)
    bound = np.partition(maxima, runs - count, axis=1)[:, runs - count] - np.float32(_TIE)
    rows, found = _at_least(similarities, bound)
    packed = _pack(similarities[rows, found], found, columns)
    return _lowest_of_each(packed, rows, len(similarities), count)


def _at_least(similarities: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the rows and columns of the similarities, float32 (b, m), that reach the bound of their row, (b,)."""
    hit = np.flatnonzero(similarities.max(axis=1) >= bounds)  # no comparison of each where most rows have none
    found = np.flatnonzero(similarities[hit] >= bounds[hit, None])
    row, columns = np.divmod(found, similarities.shape[1])
    return hit[row], columns


def _lowest_of_each(values: np.ndarray, groups: np.ndarray, count_groups: int, count: int) -> np.ndarray:
    """Sorts the values, int64 (n,), of each group by themselves; gives the lowest, (groups, count), ascending."""
    lifts = np.arange(count_groups) * (values.max(initial=0) + 1)  # so that one sort keeps the groups apart
    ordered = np.sort(values + lifts[groups])
    first = np.searchsorted(ordered, lifts)
    return ordered[first[:, None] + np.arange(count)] - lifts[:, None]


class _Tile:
    """Rows near each other, and the best neighbors that were found for them so far.

    Attributes:
        rows: their numbers, int64 (t,), ascending.
        units: float32 (t, d).
        lowest, highest: the box around them, float32 (d,) each.
        best: what `_pack` makes of the neighbors, int64 (t, k), best first; of similarity −2 where none was found yet.
    """

    def __init__(self, rows: np.ndarray, units: np.ndarray, count: int, total: int) -> None:
        self.rows, self.units, self.total = rows, units, total
        self.lowest, self.highest = units.min(axis=0), units.max(axis=0)
        self.best = np.full((len(rows), count), _pack(np.array(_BELOW_EVERY_COSINE), 0, total))

    def promising(self, other: "_Tile") -> np.ndarray:
        """The positions, int64 (m,), of rows that may have a neighbor among those of another tile.

        No vector in a box has a larger product with a row than the corner where the row's signs point to.
        """
        reachable = np.maximum(self.units, 0) @ other.highest + np.minimum(self.units, 0) @ other.lowest
        return np.flatnonzero(reachable >= self.bounds() - np.float32(_TIE))

    def bounds(self) -> np.ndarray:
        """What a cosine must reach to be better than a row's worst so far, float32 (t,), with room for rounding."""
        return (_unpack(self.best[:, -1], self.total)[1] - _TIE).astype(np.float32)

    def offer(self, similarities: np.ndarray, others: np.ndarray, own: np.ndarray | slice = _ALL) -> None:
        """Takes over what is better than the worst so far.

        Args:
            similarities: float32 (n, m).
            others: the numbers of the rows that they are to, int64 (m,).
            own: the positions of the rows that they are of, int64 (n,).
        """
        best = self.best[own]
        rows, columns = _at_least(similarities, self.bounds()[own])
        packed = _pack(similarities[rows, columns], others[columns], self.total)
        better = packed < best[rows, -1]
        if not better.any():
            return
        hit, groups = np.unique(rows[better], return_inverse=True)
        count = best.shape[1]
        values = np.append(best[hit], packed[better])
        groups = np.append(np.repeat(np.arange(len(hit)), count), groups)
        best[hit] = _lowest_of_each(values, groups, len(hit), count)
        self.best[own] = best


def _compare(pair: tuple[_Tile, _Tile]) -> None:
    """Lets two tiles, or one and itself, find neighbors in each other."""
    one, other = pair
    if one is other:
        _compare_with_itself(one)
        return
    mine, theirs = one.promising(other), other.promising(one)
    if len(mine) + len(theirs) < len(one.rows):
        for tile, rows, partner in ((one, mine, other), (other, theirs, one)):
            if len(rows):
                tile.offer(_similarities(tile.units[rows], partner.units), partner.rows, rows)
    else:  # one product for both
        similarities = _similarities(one.units, other.units)
        one.offer(similarities, other.rows)
        other.offer(similarities.T, one.rows)


def _similarities(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The products of all rows, (n, d), with all others, (m, d): float32 (n, m), until this thread calls it again.

    Memory that was just got from the system costs more time than the product that fills it.
    """
    size = len(one) * len(other)
    if getattr(_scratch, "memory", np.empty(0)).size < size:
        _scratch.memory = np.empty(size, np.float32)
    return np.matmul(one, other.T, out=_scratch.memory[:size].reshape(len(one), len(other)))


def _compare_with_itself(tile: _Tile) -> None:
    if count := min(tile.best.shape[1], len(tile.rows) - 1):
        similarities = _similarities(tile.units, tile.units)
        np.fill_diagonal(similarities, _BELOW_EVERY_COSINE)  # never its own neighbor
        columns, cosines = _unpack(_select(similarities, count), len(tile.rows))
        tile.best[:, :count] = _pack(cosines, tile.rows[columns], tile.total)


def _halve(units: np.ndarray, times: int, rows: np.ndarray | None = None) -> list[np.ndarray]:
    """Divides rows of (n, d) into 2ᵗⁱᵐᵉˢ parts of equal size, by the median of what varies most within each part."""
    rows = np.arange(len(units)) if rows is None else rows
    if times == 0:
        return [np.sort(rows)]
    part, middle = units[rows], len(rows) // 2
    order = np.argpartition(part[:, part.var(axis=0).argmax()], middle)
    return [leaf for half in (order[:middle], order[middle:]) for leaf in _halve(units, times - 1, rows[half])]


def _pack(cosines: np.ndarray, rows: np.ndarray | int, total: int) -> np.ndarray:
    """Makes one integer of a cosine, rounded, and a row below `total`, so that one sort puts the best first."""
    return (_SCALE - np.rint(cosines.astype(np.float64) * _SCALE).astype(np.int64)) * total + rows


def _unpack(packed: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives the rows, int64, and the rounded cosines, float64, that `_pack` was given."""
    return packed % total, (_SCALE - packed // total) / _SCALE
