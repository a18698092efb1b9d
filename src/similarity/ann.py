"""Approximate nearest neighbors with Annoy, and how often they are the true ones."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex

from similarity.errors import UserError
from similarity.neighbors import COSINE_DECIMALS, normalize

_MAX_SEARCH_K = 2**31 - 1
_TIE = 1.5 * 10**-COSINE_DECIMALS


def build_index(embeddings: np.ndarray, trees: int, seed: int) -> AnnoyIndex:
    """Builds a forest of random projection trees over embeddings, float32 (n, d), for the cosine.

    The seed is set before the first item and one thread builds: otherwise the same seed gives another index.
    """
    index = AnnoyIndex(embeddings.shape[1], "angular")
    index.set_seed(seed)
    for row, embedding in enumerate(embeddings):
        index.add_item(row, embedding)
    index.build(trees, n_jobs=1)
    return index


def load_index(path: Path, size: int) -> AnnoyIndex:
    """Maps a saved index of embeddings of length `size` into memory.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it is no index of this size.
    """
    index = AnnoyIndex(size, "angular")
    try:
        index.load(str(path))
    except OSError as error:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "missing", str(path)) from error
        raise UserError(f"{path} is no index of embeddings of size {size}: run `dvc repro`") from error
    return index


def approximate_neighbors(
    index: AnnoyIndex, embeddings: np.ndarray, rows: Sequence[int] | np.ndarray, top_k: int, search_k: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Searches an index for the most similar other rows of some rows.

    Args:
        index: built over all `embeddings`.
        embeddings: float32 (n, d).
        rows: which rows to search for.
        top_k: neighbors per row, min(top_k, n − 1) are given.
        search_k: nodes that Annoy inspects per query; None is its default, trees · (top_k + 1).

    Yields:
        For each row, its neighbors' rows, int64 (k,), best first, and their true cosines, rounded to 6 decimals,
        float64 (k,). Ties go by row.
    """
    count, units = min(top_k, len(embeddings) - 1), normalize(embeddings)
    for row in rows:
        yield search_index(index, units, units[row], count, search_k, excluded=int(row))


def search_index(
    index: AnnoyIndex,
    units: np.ndarray,
    query: np.ndarray,
    count: int,
    search_k: int | None,
    allowed: np.ndarray | None = None,
    excluded: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Searches an index for the rows most similar to a vector, and looks further until there are enough of them.

    Args:
        index: built over all rows of `units`.
        units: what `normalize` gives, float32 (n, d).
        query: of length 1 or all zeros, float32 (d,).
        count: how many rows to give; as many must be allowed.
        search_k: nodes that Annoy inspects; None is its default, trees · (count + 1).
        allowed: the only rows to give, bool (n,); None is all.
        excluded: a row not to give.

    Returns:
        The rows, int64 (count,), best first, and their true cosines, rounded to 6 decimals, float64 (count,). Ties go
        by row.
    """
    rarity = 1 if allowed is None else len(units) / max(1, int(np.count_nonzero(allowed)))
    reach, inspected = ((count + 1) * rarity, (search_k or index.get_n_trees() * (count + 1)) * rarity)
    while True:
        nearest = index.get_nns_by_vector(query, min(int(reach), len(units)), min(int(inspected), _MAX_SEARCH_K))
        rows = np.array([row for row in nearest if row != excluded and (allowed is None or allowed[row])], np.int64)
        if len(rows) >= count:
            break
        reach, inspected = 2 * reach, 2 * inspected
    rows = rows[:count]
    similarities = (units[rows] @ query).astype(np.float64).round(COSINE_DECIMALS)
    order = np.lexsort((rows, -similarities))
    return rows[order], similarities[order]


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact neighbors that were found, ties counted as found.

    As in Aumüller, Bernhardsson & Faithfull, "ANN-Benchmarks" (2017), a neighbor counts if it is as similar as the
    k-th true one.

    Args:
        found: cosines of the neighbors that were found, float64 (n, k).
        exact: cosines of the true ones, float64 (n, k), best first.
    """
    return float((found >= exact[:, -1:] - _TIE).mean())
