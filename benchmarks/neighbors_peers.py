"""Exact nearest neighbors of all vectors by cosine, compared with faiss and scikit-learn.

    python benchmarks/neighbors_peers.py [real | NUMBER | NUMBERxDIMENSIONS …] [--memory NUMBER] [--output FILE]

Every contender has a process of its own and all cores, and they take turns; the table has medians over the rounds. The
peers are given vectors of length 1 and asked for one neighbor more, because they count a vector as its own. All must
find the same neighbors, up to ties. The limit is NumPy's product of all vectors with all, in blocks that overwrite each
other. Memory is the peak of the process, in 10⁹ bytes.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from comparison import Row, as_table, make_parser, median_seconds, publish, run_command, worker
from similarity.data.vectors import nearest_neighbors, normalize
from similarity.errors import UserError
from vectors import add_sources, describe, load, valid_source

K = 10
TIE = 2e-6  # ours rounds cosines to 6 decimals, and all compute them in float32
ROWS = 1500  # of a block
CORES = os.cpu_count() or 1
OURS, FAISS, SKLEARN = "ours", "faiss IndexFlatIP", "scikit-learn brute force"
ALL_PAIRS = "all pairs"


def main() -> None:
    parser = make_parser(__doc__, rounds=5)
    add_sources(parser, ["real", "29998", "100000"])
    parser.add_argument("--sklearn-up-to", type=int, default=30_000, metavar="NUMBER", help="vectors; it is slow")
    parser.add_argument(
        "--memory", nargs="+", type=valid_source, metavar="SOURCE", help="instead: memory of ours alone"
    )
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.memory or ():
        rows += measure_memory(name)
    for name in () if arguments.memory else arguments.sources:
        rows += compare(name, arguments.rounds, arguments.sklearn_up_to)
    publish(as_table(rows), "Exact nearest neighbors, ten of each vector", arguments.output)


def compare(source: str, rounds: int, sklearn_up_to: int) -> list[Row]:
    """Time the contenders on the vectors that `vectors.load` gives for a source.

    Raises:
        UserError: they do not find the same neighbors.
    """
    vectors = load(source)
    peers = [FAISS, SKLEARN] if len(vectors) <= sklearn_up_to else [FAISS]
    names = [OURS, *peers, ALL_PAIRS]
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker()) for name in names}
        found = {name: workers[name].submit(neighbors, name, source).result() for name in [OURS, *peers]}
        units = normalize(vectors.astype(np.float64))
        for name, rows_found in found.items():
            check(name, units, found[OURS], rows_found)
        seconds = median_seconds({name: partial(wait_for, workers[name], name, source) for name in names}, rounds)
    what, ours = f"exact neighbors, {describe(source, vectors.shape)}", seconds[OURS]
    limit = f"{seconds[ALL_PAIRS]:.2f} s"
    return [
        Row(f"{what}, {name}", f"{ours:.2f} s", f"{seconds[name]:.2f} s", ours / seconds[name], limit) for name in peers
    ]


def measure_memory(source: str) -> list[Row]:
    """Run ours once in a fresh process."""
    with worker() as process:
        shape, seconds, peak = process.submit(time_and_memory, source).result()
    what = f"exact neighbors, {describe(source, shape)}, once"
    return [
        Row(f"{what}: time", f"{seconds:.0f} s", "", None),
        Row(f"{what}: memory", f"{peak / 1e9:.2f} GB", "", None),
    ]


def check(name: str, units: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Compare two answers, rows int64 (n, K), by the true cosines between the vectors, float64 (n, d).

    Raises:
        UserError: they differ by more than ties, or a vector is its own neighbor or another's twice.
    """
    our_cosines, their_cosines = (
        np.sort(np.einsum("nd,nkd->nk", units, units[rows]), axis=1) for rows in (ours, theirs)
    )
    with_itself = np.sort(np.column_stack((np.arange(len(units)), theirs)), axis=1)
    if (np.diff(with_itself, axis=1) <= 0).any() or not np.allclose(our_cosines, their_cosines, rtol=0, atol=TIE):
        raise UserError(f"{name} finds other neighbors than ours")


def wait_for(process: ProcessPoolExecutor, name: str, source: str) -> None:
    process.submit(run, name, source).result()


def run(name: str, source: str) -> None:
    """In the worker: let a contender work, and send nothing back, which would take time."""
    CONTENDERS[name](prepared(name, source))


def neighbors(name: str, source: str) -> np.ndarray:
    """In the worker: return the other rows that a contender finds, int64 (n, K)."""
    rows = CONTENDERS[name](prepared(name, source))
    return rows if name == OURS else without_itself(rows)


def time_and_memory(source: str) -> tuple[tuple[int, ...], float, int]:
    """In the worker: return the shape of the vectors, the seconds that ours takes, and the highest memory, in bytes."""
    vectors = load(source)
    start = time.perf_counter()
    pipeline(vectors)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # ru_maxrss would begin with the parent's memory
    return vectors.shape, seconds, int(status.split("VmHWM:")[1].split()[0]) * 1024


@cache
def prepared(name: str, source: str) -> np.ndarray:
    return load(source) if name == OURS else normalize(load(source))


def without_itself(rows: np.ndarray) -> np.ndarray:
    """Take each row's own number, or else its last neighbor, out of int64 (n, k + 1)."""
    is_other = rows != np.arange(len(rows))[:, None]
    is_other[is_other.all(axis=1), -1] = False
    return rows[is_other].reshape(len(rows), -1)


def pipeline(vectors: np.ndarray) -> np.ndarray:
    return nearest_neighbors(vectors, K)[0]


def faiss_flat(units: np.ndarray) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(CORES)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    return index.search(units, K + 1)[1]


def sklearn_brute(units: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=K + 1, algorithm="brute", metric="cosine", n_jobs=CORES)
    return index.fit(units).kneighbors(units, return_distance=False)


def multiply_all_pairs(units: np.ndarray) -> None:
    """Multiply all with all, ROWS rows at a time, in as many threads as BLAS has."""
    block = block_of(len(units))
    for start in range(0, len(units), ROWS):
        rows = units[start : start + ROWS]
        np.matmul(rows, units.T, out=block[: len(rows)])


@cache
def block_of(columns: int) -> np.ndarray:
    """Allocate ROWS rows, which takes time only once."""
    return np.empty((ROWS, columns), np.float32)


CONTENDERS: dict[str, Callable[[np.ndarray], Any]] = {
    OURS: pipeline,
    FAISS: faiss_flat,
    SKLEARN: sklearn_brute,
    ALL_PAIRS: multiply_all_pairs,
}


if __name__ == "__main__":
    run_command(main)
