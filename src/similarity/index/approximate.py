"""Approximate nearest neighbors by cosine, from a forest of random projection trees (Annoy), and their recall."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex

from similarity.data.vectors import COSINE_DECIMALS, nearest_to, normalize, scale_extremes

_MIN_FACTOR, _IMAGES_PER_FACTOR = 4, 500
_MOST_BARRED = 100  # rows that are not allowed
_MOST_CANDIDATES = 2**31 - 1
_TIE = 1.5 * 10**-COSINE_DECIMALS


def build_forest(embeddings: np.ndarray, trees: int, seed: int) -> AnnoyIndex:
    """Build a forest over embeddings, float32 (n, d); the same embeddings and seed give the same bytes in its file.

    The seed is set before the first item, and one thread builds: otherwise the same seed gives another forest.
    """
    forest = AnnoyIndex(embeddings.shape[1], "angular")
    forest.set_seed(seed)
    for row, embedding in enumerate(scale_extremes(embeddings)):
        forest.add_item(row, embedding)
    forest.build(trees, n_jobs=1)
    return forest


def load_forest(path: Path, size: int) -> AnnoyIndex:
    """Map a saved forest over embeddings of length `size` into memory; threads may search it at the same time."""
    forest = AnnoyIndex(size, "angular")
    forest.load(str(path))
    return forest


def default_search_k(forest: AnnoyIndex, count: int) -> int:
    """Return how many candidates to examine for `count` neighbors if `ann.search_k` is empty.

    Annoy's own default is trees · count. The share of true neighbors among these falls as the number of images grows,
    so that it is multiplied by images / 500, and by 4 at least.
    """
    return int(max(_MIN_FACTOR, forest.get_n_items() / _IMAGES_PER_FACTOR) * forest.get_n_trees() * count)


def approximate_neighbors(
    forest: AnnoyIndex,
    embeddings: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    top_k: int,
    search_k: int,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[np.ndarray, np.ndarray]:
    """Search a forest for the most similar other rows of some, as `nearest_neighbors` does; see `search_forest`."""
    count, units = min(top_k, len(embeddings) - 1), normalize(embeddings)
    found, cosines = np.empty((len(rows), count), np.int64), np.empty((len(rows), count))
    allowed = np.ones(len(units), bool)
    for i, row in enumerate(progress(rows)):
        allowed[row] = False
        found[i], cosines[i] = search_forest(forest, units, units[row], count, search_k, allowed)
        allowed[row] = True
    return found, cosines


def search_forest(
    forest: AnnoyIndex,
    units: np.ndarray,
    query: np.ndarray,
    count: int,
    search_k: int,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Search a forest over all rows of `units` for the allowed rows most similar to a vector; see `nearest_to`.

    Candidates are doubled until there are enough rows. All rows are compared if many are not allowed, which takes less
    time than to look for a few of them in the forest.
    """
    barred = 0 if allowed is None else len(units) - int(np.count_nonzero(allowed))
    wanted, candidates = count + barred, search_k
    while barred <= _MOST_BARRED and wanted <= 2 * len(units):
        found = forest.get_nns_by_vector(query, min(wanted, len(units)), min(candidates, _MOST_CANDIDATES))
        rows = np.array(found, np.int64)
        rows = rows if allowed is None else rows[allowed[rows]]
        if len(rows) >= count:
            similarities = (units[rows[:count]] @ query).astype(np.float64).round(COSINE_DECIMALS)
            order = np.lexsort((rows[:count], -similarities))
            return rows[order], similarities[order]
        wanted, candidates = 2 * wanted, 2 * candidates
    return nearest_to(units, query, count, allowed)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of the exact neighbors that were found, by their cosines, float64 (n, k), best first.

    As in Aumüller, Bernhardsson & Faithfull, "ANN-Benchmarks" (2017), a neighbor counts if it is as similar as the
    k-th true one.
    """
    return float((found >= exact[:, -1:] - _TIE).mean())


def smallest_search_k(recall_with: Callable[[int], float], target: float, highest: int) -> int | None:
    """Find the fewest candidates, `highest` at most, that reach a recall, by doubling and then by bisection.

    None do if the result is None. The recall should not fall as the candidates rise.
    """
    enough = 1
    while recall_with(enough) < target:
        if enough >= highest:
            return None
        enough = min(2 * enough, highest)
    return bisect_left(range(enough), target, enough // 2 + 1, key=recall_with)
