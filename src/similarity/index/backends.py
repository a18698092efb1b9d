"""The approximate indexes that `ann.backend` names: what each library makes of embeddings, behind one interface."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import orjson
from annoy import AnnoyIndex

from similarity.errors import UserError
from similarity.files import copied_into_memory, write_json_entries
from similarity.held_stderr import held_stderr
from similarity.vectors import normalize, scale_extremes

if TYPE_CHECKING:
    import faiss

Backend = Literal["annoy", "faiss"]
_MAX_SEARCH_K = 2**31 - 1
_CANDIDATES_WHILE_BUILDING = 200  # Faiss' efConstruction; hnswlib's default
_DEFAULT_CANDIDATES = 64


class Searchable(Protocol):
    """Vectors that can be searched approximately by cosine, from several threads at a time.

    Attributes:
        backend: what `ann.backend` calls it.
    """

    backend: Backend

    def search(self, query: np.ndarray, count: int, search_k: int) -> list[int]:
        """The rows of the vectors most similar to a query, float32 (d,), best first; fewer than `count` if not found.

        `search_k` is how many candidates are looked at: more find better neighbors and take longer.
        """

    def default_search_k(self, count: int) -> int:
        """Candidates to look at where `ann.search_k` is null."""


class AnnIndex(Searchable, Protocol):
    """An index as a library builds it."""

    def __len__(self) -> int:
        """The number of vectors."""

    def vector(self, row: int) -> np.ndarray:
        """One of the vectors, float32 (d,), at its own length or at length 1."""

    def save(self, path: Path) -> None:
        """Writes the index; the same vectors and seed give the same bytes."""


class AnnoyForest:
    """A forest of random projection trees (Annoy)."""

    backend: Backend = "annoy"

    def __init__(self, index: AnnoyIndex) -> None:
        self._index = index

    @classmethod
    def build(cls, embeddings: np.ndarray, trees: int, seed: int) -> "AnnoyForest":
        """Builds the forest over embeddings, float32 (n, d).

        The seed is set before the first item and one thread builds: otherwise the same seed gives another index.
        """
        index = AnnoyIndex(embeddings.shape[1], "angular")
        index.set_seed(seed)
        for row, embedding in enumerate(scale_extremes(embeddings)):
            index.add_item(row, embedding)
        index.build(trees, n_jobs=1)
        return cls(index)

    @classmethod
    def load(cls, path: Path, size: int) -> "AnnoyForest":
        """Opens a copy of a file in memory; see `load_index`.

        Annoy maps what it opens, and a mapped file that is cut off kills the process.
        """
        index = AnnoyIndex(size, "angular")
        with copied_into_memory(path) as copy:
            index.load(copy)
        return cls(index)

    def __len__(self) -> int:
        return self._index.get_n_items()

    def vector(self, row: int) -> np.ndarray:
        return np.array(self._index.get_item_vector(row), np.float32)

    def search(self, query: np.ndarray, count: int, search_k: int) -> list[int]:
        return self._index.get_nns_by_vector(query, count, min(search_k, _MAX_SEARCH_K))

    def default_search_k(self, count: int) -> int:
        return self._index.get_n_trees() * count

    def save(self, path: Path) -> None:
        try:
            with held_stderr(shown=False):  # on which Annoy also prints what it raises
                self._index.save(str(path))
        except OSError as error:  # its number is only in its message
            number = int((re.findall(r"\((\d+)\)$", str(error)) or [errno.EIO])[0])
            raise OSError(number, os.strerror(number), str(path)) from error


class FaissGraph:
    """A hierarchical navigable small world graph (Malkov & Yashunin, TPAMI 2018) by Faiss, held in memory."""

    backend: Backend = "faiss"

    def __init__(self, index: "faiss.IndexHNSWFlat") -> None:
        self._index = index

    @classmethod
    def build(cls, embeddings: np.ndarray, links: int, seed: int) -> "FaissGraph":
        """Builds the graph over embeddings, float32 (n, d), with `links` to and from each, twice as many at the bottom.

        One thread builds: otherwise the same seed gives another graph.
        """
        index = _faiss().IndexHNSWFlat(embeddings.shape[1], links, _faiss().METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _CANDIDATES_WHILE_BUILDING
        index.hnsw.rng = _faiss().RandomGenerator(seed)
        with _one_thread():
            index.add(normalize(embeddings))
        return cls(index)

    @classmethod
    def load(cls, path: Path, size: int) -> "FaissGraph":
        """Opens a file; see `load_index`."""
        try:
            index = _faiss().read_index(str(path))
        except RuntimeError as error:
            raise OSError(errno.EINVAL, "no index of Faiss", str(path)) from error
        if index.d != size:
            raise OSError(errno.EINVAL, f"vectors of size {index.d}", str(path))
        return cls(index)

    def __len__(self) -> int:
        return self._index.ntotal

    def vector(self, row: int) -> np.ndarray:
        return self._index.reconstruct(row)

    def search(self, query: np.ndarray, count: int, search_k: int) -> list[int]:
        _, rows = self._index.search(query[None], count, params=_search_settings(min(search_k, len(self))))
        return [row for row in rows[0].tolist() if row >= 0]

    def default_search_k(self, count: int) -> int:
        return max(_DEFAULT_CANDIDATES, 2 * count)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:  # given a path, Faiss does not notice if the last bytes find no room
            _faiss().write_index(self._index, _faiss().PyCallbackIOWriter(file.write))


def load_index(path: Path, backend: Backend, size: int) -> AnnIndex:
    """Opens a saved index of embeddings of length `size`.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it is no index of this backend and size, or the backend is not installed.
    """
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "missing", str(path))
    try:
        return AnnoyForest.load(path, size) if backend == "annoy" else FaissGraph.load(path, size)
    except OSError as error:
        raise UserError(
            f"{path} is not a {backend} index (ann.backend) of embeddings of {size} numbers: run `dvc repro`"
        ) from error


class SearchSettings(NamedTuple):
    """How an index is to be asked, which is kept beside it: params.yaml may have been changed since it was built.

    Attributes:
        backend: what built it.
        search_k: candidates per query; None is the index's own default.
    """

    backend: Backend
    search_k: int | None


def save_settings(settings: SearchSettings, path: Path) -> None:
    """Writes the settings as JSON."""
    write_json_entries(path, settings._asdict().items())


def load_settings(path: Path) -> SearchSettings:
    """Reads what `save_settings` wrote.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it is something else.
    """
    try:
        settings = SearchSettings(**orjson.loads(path.read_bytes()))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`") from error
    if settings.backend not in get_args(Backend) or not isinstance(settings.search_k, int | None):
        raise UserError(f"{path} holds settings of another version: run `dvc repro`")
    return settings


@lru_cache
def _search_settings(search_k: int) -> Any:  # Faiss' type information lacks SearchParametersHNSW
    """Kept, because making them takes a quarter of the time of a search."""
    return _faiss().SearchParametersHNSW(efSearch=search_k)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = _faiss().omp_get_max_threads()
    _faiss().omp_set_num_threads(1)
    try:
        yield
    finally:
        _faiss().omp_set_num_threads(threads)


def _faiss() -> Any:
    """The module, whose type information lacks half of what is in it."""
    import faiss

    return faiss
