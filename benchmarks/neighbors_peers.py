"""Exact nearest neighbors of all vectors by cosine, compared with bare faiss.

    python benchmarks/neighbors_peers.py [real | NUMBER | NUMBERxDIMENSIONS …] [--rounds 5]

Vectors are the pipeline's embeddings, or drawn ones like those of a ReLU layer. Each contender has a process of its
own and all cores, and they take turns. faiss gets vectors of length 1 and is asked for one neighbor more, because it
counts a vector as its own. Both must find the same neighbors, up to ties.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context

import numpy as np

from comparison import Row, as_table, load_vectors, make_parser, median_seconds, publish, run_command
from similarity.data.vectors import nearest_neighbors, normalize

K = 10
TIE = 2e-6  # ours rounds cosines to 6 decimals, and faiss computes them in float32


def main() -> None:
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("sources", nargs="*", default=["real", "29998", "100000"], metavar="SOURCE")
    arguments = parser.parse_args()
    rows = [compare(source, arguments.rounds) for source in arguments.sources]
    publish(as_table(rows), "Exact nearest neighbors, ten of each vector", arguments.output)


def compare(source: str, rounds: int) -> Row:
    """Time both; in one process, their thread pools would disturb each other."""
    vectors = load_vectors(source)
    with ProcessPoolExecutor(1, get_context("spawn")) as one, ProcessPoolExecutor(1, get_context("spawn")) as other:
        found = [one.submit(ours, source).result(), other.submit(bare_faiss, source).result()]
        units = normalize(vectors.astype(np.float64))
        own, theirs = (np.sort(np.einsum("nd,nkd->nk", units, units[neighbors]), axis=1) for neighbors in found)
        if not np.allclose(own, theirs, rtol=0, atol=TIE):
            sys.exit("error: faiss finds other neighbors than ours")
        contenders = {"ours": partial(wait, one, ours, source), "faiss": partial(wait, other, bare_faiss, source)}
        seconds = median_seconds(contenders, rounds)
    kind = "embeddings" if source == "real" else "generated"
    what = f"exact neighbors, {len(vectors):,} × {vectors.shape[1]} {kind}, faiss IndexFlatIP"
    ours_took, peer_took = seconds["ours"], seconds["faiss"]
    return Row(what, f"{ours_took:.2f} s", f"{peer_took:.2f} s", ours_took / peer_took)


def wait(process: ProcessPoolExecutor, search: Callable[[str], np.ndarray], source: str) -> None:
    process.submit(search, source).result()


@cache
def load_units(source: str) -> np.ndarray:
    return normalize(load_vectors(source))


def ours(source: str) -> np.ndarray:
    """Find the rows of the ten nearest others, int64 (n, 10)."""
    return nearest_neighbors(load_units(source), K)[0]


def bare_faiss(source: str) -> np.ndarray:
    """Find the same with faiss alone."""
    import faiss

    units = load_units(source)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    rows = index.search(units, K + 1)[1]
    is_other = rows != np.arange(len(rows))[:, None]
    is_other[is_other.all(axis=1), -1] = False
    return rows[is_other].reshape(len(rows), -1)


if __name__ == "__main__":
    run_command(main)
