"""Indexes of neighbors: a forest of random projection trees (Annoy) that is searched, and the inverted index.

NumPy and Annoy are imported where they are needed, so that stored neighbors are shown at once.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from similarity.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from annoy import AnnoyIndex

_MIN_FACTOR, _IMAGES_PER_FACTOR = 4, 500
_MOST_BARRED = 100  # rows that are not allowed
_MOST_CANDIDATES = 2**31 - 1
_QUERIES_PER_TASK = 100
_TIE = 1.5e-6  # of cosines with 6 decimals


def build_forest(embeddings: np.ndarray, trees: int, seed: int) -> AnnoyIndex:
    """Build a forest over embeddings, float32 (n, d); the same embeddings and seed give the same bytes in its file.

    The seed is set before the first item, and one thread builds: otherwise the same seed gives another forest.
    """
    from annoy import AnnoyIndex

    from similarity.data.vectors import scale_extremes

    forest = AnnoyIndex(embeddings.shape[1], "angular")
    forest.set_seed(seed)
    for row, embedding in enumerate(scale_extremes(embeddings)):
        forest.add_item(row, embedding.tolist())
    forest.build(trees, n_jobs=1)
    return forest


def load_forest(path: Path, size: int) -> AnnoyIndex:
    """Map a saved forest over embeddings of length `size` into memory; threads may search it at the same time."""
    from annoy import AnnoyIndex

    forest = AnnoyIndex(size, "angular")
    forest.load(str(path))
    return forest


def default_search_k(forest: AnnoyIndex, count: int) -> int:
    """Return how many candidates to examine for `count` neighbors if `ann.search_k` is empty.

    Annoy's own default is trees · count, among which the share of true neighbors falls as the number of images grows.
    """
    return int(max(_MIN_FACTOR, forest.get_n_items() / _IMAGES_PER_FACTOR) * forest.get_n_trees() * count)


def approximate_neighbors(
    forest: AnnoyIndex,
    embeddings: np.ndarray,
    rows: np.ndarray,
    top_k: int,
    search_k: int,
    progress: Callable[[range], Iterable[int]] = iter,
) -> tuple[np.ndarray, np.ndarray]:
    """Search a forest, in threads, for the most similar other rows of some, int64 (m,), as `nearest_neighbors` does."""
    import numpy as np

    from similarity.data.parallel import ordered_map
    from similarity.data.vectors import normalize

    count, units = min(top_k, len(embeddings) - 1), normalize(embeddings)
    found, cosines = np.empty((len(rows), count), np.int64), np.empty((len(rows), count))

    def search(start: int) -> None:
        allowed = np.ones(len(units), bool)
        for place, row in enumerate(rows[start : start + _QUERIES_PER_TASK].tolist(), start):
            allowed[row] = False
            found[place], cosines[place] = search_forest(forest, units, units[row], count, search_k, allowed)
            allowed[row] = True

    for _ in ordered_map(search, progress(range(0, len(rows), _QUERIES_PER_TASK)), ahead=4):
        pass
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
    import numpy as np

    from similarity.data.vectors import COSINE_DECIMALS, nearest_to

    barred = 0 if allowed is None else len(units) - int(np.count_nonzero(allowed))
    wanted, candidates = count + barred, search_k
    while barred <= _MOST_BARRED and wanted <= 2 * len(units):
        found = forest.get_nns_by_vector(query.tolist(), min(wanted, len(units)), min(candidates, _MOST_CANDIDATES))
        rows = np.array(found, np.int64)
        rows = (rows if allowed is None else rows[allowed[rows]])[:count]
        if len(rows) == count:
            cosines = (units[rows] @ query).astype(np.float64).round(COSINE_DECIMALS)
            order = np.lexsort((rows, -cosines))
            return rows[order], cosines[order]
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


def write_inverted_index(path: Path, keys: Sequence[str], neighbors: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write ``{key: [[key, cosine], …]}``, one image per line, from rows, int64 (k,), and cosines, float64 (k,)."""
    from similarity.data.files import write_json_entries

    listed = (
        [[keys[row], cosine] for row, cosine in zip(found.tolist(), cosines.tolist(), strict=True)]
        for found, cosines in neighbors
    )
    write_json_entries(path, zip(keys, listed, strict=True))


def read_cosines(path: Path, keys: Sequence[str], top_k: int) -> np.ndarray:
    """Read the cosines of all neighbors, float64 (n, k) with k = min(top_k, n − 1), best first.

    Raises:
        UserError: it is damaged, or lists other images or another number of neighbors.
    """
    import numpy as np

    count = min(top_k, len(keys) - 1)
    cosines = np.empty((len(keys), count))
    try:
        with path.open("rb") as file:
            entries = (line for line in file if line.strip() not in {b"{", b"}"})
            for row, (key, line) in enumerate(zip(keys, entries, strict=True)):
                cosines[row] = [cosine for _, cosine in _parse(line)[key]]
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path} does not list {count} neighbors of each image of the manifest: run `dvc repro`"
        ) from error
    return cosines


def map_inverted_index(path: Path) -> mmap.mmap:
    """Map an inverted index into memory for `find_neighbors`; a file that replaces it later is not seen."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def find_neighbors(content: mmap.mmap, key: str) -> list[tuple[str, float]] | None:
    """Find the neighbors of one image in an inverted index; None if the image is not in it.

    The keys are sorted, one per line, so that bisection of the file finds one among millions without loading it.
    """
    low, high = content.find(b"\n") + 1, content.rfind(b"\n}") + 1
    while low < high:
        middle = content.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = content.find(b"\n", middle)
        ((found, neighbors),) = _parse(content[middle:end]).items()
        if found == key:
            return [(other, cosine) for other, cosine in neighbors]
        low, high = (end + 1, high) if found < key else (low, middle)
    return None


def _parse(line: bytes) -> dict[str, list[list]]:
    return orjson.loads(b"{" + line.strip().rstrip(b",") + b"}")
