"""Approximate nearest neighbors by cosine: a forest of random projection trees (Annoy)."""

import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import orjson
from annoy import AnnoyIndex

from similarity.errors import UserError
from similarity.files import write_json_entries
from similarity.held_stderr import held_stderr
from similarity.index.exact import nearest_to
from similarity.vectors import COSINE_DECIMALS, normalize, scale_extremes

_MAX_SEARCH_K = 2**31 - 1
_MIN_FACTOR, _IMAGES_PER_FACTOR = 4, 500


class AnnoyForest:
    """A forest over the embeddings of n images. Threads may search it at the same time."""

    def __init__(self, index: AnnoyIndex) -> None:
        self._index = index

    @classmethod
    def build(cls, embeddings: np.ndarray, trees: int, seed: int) -> "AnnoyForest":
        """Build a forest over embeddings, float32 (n, d).

        The seed is set before the first item, and one thread builds: otherwise the same seed gives another forest.
        """
        index = AnnoyIndex(embeddings.shape[1], "angular")
        index.set_seed(seed)
        for row, embedding in enumerate(scale_extremes(embeddings)):
            index.add_item(row, embedding)
        index.build(trees, n_jobs=1)
        return cls(index)

    @classmethod
    def load(cls, path: Path, size: int) -> "AnnoyForest":
        """Map a saved forest over embeddings of length `size` into memory.

        Raises:
            FileNotFoundError: the file is missing.
            UserError: it holds no forest over embeddings of this length.
        """
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))
        index = AnnoyIndex(size, "angular")
        try:
            index.load(str(path))
        except OSError as error:
            raise UserError(f"{path} is not an Annoy index of embeddings of {size} numbers: run `dvc repro`") from error
        return cls(index)

    def save(self, path: Path) -> None:
        """Write the forest; the same embeddings and seed give the same bytes."""
        try:
            with held_stderr(shown=False):  # Annoy also prints the errors that it raises
                self._index.save(str(path))
        except OSError as error:  # the error number is only in the message
            number = int((re.findall(r"\((\d+)\)$", str(error)) or [errno.EIO])[0])
            raise OSError(number, os.strerror(number), str(path)) from error

    def __len__(self) -> int:
        return self._index.get_n_items()

    def search(self, query: np.ndarray, count: int, search_k: int) -> list[int]:
        """Return up to `count` rows similar to a query, float32 (d,), best first, from `search_k` candidates."""
        return self._index.get_nns_by_vector(query, count, min(search_k, _MAX_SEARCH_K))

    def default_search_k(self, count: int) -> int:
        """Return how many candidates to examine for `count` neighbors if `ann.search_k` is empty.

        Annoy's own default is trees · count. The share of true neighbors among these falls as the number of images
        grows, so that it is multiplied by images / 500, and by 4 at least.
        """
        factor = max(_MIN_FACTOR, len(self) / _IMAGES_PER_FACTOR)
        return int(factor * self._index.get_n_trees() * count)


def save_search_k(path: Path, search_k: int | None) -> None:
    """Write the number of candidates to examine per query; None is the forest's default.

    It is stored because params.yaml may have changed since the forest was built.
    """
    write_json_entries(path, [("search_k", search_k)])


def load_search_k(path: Path) -> int | None:
    """Read what `save_search_k` wrote.

    Raises:
        FileNotFoundError: the file is missing.
        UserError: it holds something else.
    """
    try:
        search_k = orjson.loads(path.read_bytes())["search_k"]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`") from error
    if not isinstance(search_k, int | None):
        raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`")
    return search_k


def approximate_neighbors(
    forest: AnnoyForest,
    embeddings: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    top_k: int,
    search_k: int | None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[np.ndarray, np.ndarray]:
    """Search a forest for the most similar other rows of some rows.

    Args:
        forest: over all `embeddings`.
        embeddings: float32 (n, d).
        rows: the m rows to search for.
        top_k: neighbors per row; k = min(top_k, n − 1) are returned.
        search_k: candidates to examine per query; None is the forest's default.
        progress: wraps the iteration over `rows`.

    Returns:
        The neighbors' rows, int64 (m, k), best first, and their true cosines, rounded to 6 decimals, float64 (m, k).
        Ties go by row.
    """
    count, units = min(top_k, len(embeddings) - 1), normalize(embeddings)
    found, cosines = np.empty((len(rows), count), np.int64), np.empty((len(rows), count))
    allowed = np.ones(len(units), bool)
    for i, row in enumerate(progress(rows)):
        allowed[row] = False
        found[i], cosines[i] = search_forest(forest, units, units[row], count, search_k, allowed)
        allowed[row] = True
    return found, cosines


def search_forest(
    forest: AnnoyForest,
    units: np.ndarray,
    query: np.ndarray,
    count: int,
    search_k: int | None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Search a forest for the allowed rows most similar to a vector, and look further until there are enough.

    Args:
        forest: over all rows of `units`.
        units: rows of length 1 or all zeros, float32 (n, d).
        query: of length 1 or all zeros, float32 (d,).
        count: number of rows to return; as many must be allowed.
        search_k: candidates to examine; None is the forest's default.
        allowed: the only rows to return, bool (n,); None allows all.

    Returns:
        The rows, int64 (count,), best first, and their true cosines, rounded to 6 decimals, float64 (count,). Ties go
        by row.
    """
    barred = 0 if allowed is None else len(units) - int(np.count_nonzero(allowed))
    # An image that leaves itself out asks for one more; if only a part is allowed, more by the inverse of its share.
    reach = (count + min(barred, 1)) * len(units) / max(1, len(units) - max(0, barred - 1))
    candidates = (search_k or forest.default_search_k(count + 1)) * reach / (count + 1)
    while True:
        rows = np.array(forest.search(query, min(int(reach), len(units)), int(candidates)), np.int64)
        rows = rows if allowed is None else rows[allowed[rows]]
        if len(rows) >= count:
            break
        if reach >= len(units):  # `search_k` is too small to reach all of them
            return nearest_to(units, query, count, allowed)
        reach, candidates = 2 * reach, 2 * candidates
    rows = rows[:count]
    similarities = (units[rows] @ query).astype(np.float64).round(COSINE_DECIMALS)
    order = np.lexsort((rows, -similarities))
    return rows[order], similarities[order]
