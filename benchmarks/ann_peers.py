"""How fast approximate indexes are at equal recall: Annoy, which the pipeline uses, beside HNSW and IVF.

    python benchmarks/ann_peers.py [real | NUMBER …] [--plot docs/ann_peers.png]

Each index is built and searched in one thread. Queries are sampled vectors, searched for one at a time from Python, so
every search has the cost of a call; a query's own vector does not count as found. The effort of a search (search_k, ef,
nprobe) grows until recall@10, with ties counted as found, reaches 0.99. All indexes take turns at all efforts; queries
per second (QPS) are from the median over the rounds, and between two efforts their logarithm is linear in recall. An
index whose least effort finds more than a recall asked for has the speed of that effort. Sizes are of the saved index
with its vectors, in 10⁶ bytes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

import faiss
import hnswlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from comparison import Row, add_output, as_table, median_seconds, publish
from vectors import add_sources, describe, load

sys.path.insert(0, "src")

from pipeline.stage import run_command

from similarity.index.approximate import AnnoyForest, recall
from similarity.index.exact import nearest_to
from similarity.vectors import COSINE_DECIMALS, normalize

K = 10
SEED = 0
LINKS, CONSTRUCTION_EFFORT = 16, 200  # of both HNSW; common choices
LISTS_PER_ROOT = 4  # of IVF, × √n
RECALLS = (0.90, 0.95, 0.99)
COMPARED_RECALL = 0.95
GROWTH = 1.4  # of the effort, from one measurement to the next
FEWEST_EFFORTS = 4  # so that an index whose least effort is already good has a curve
NO_NEIGHBOR = -2.0  # below every cosine
DRAWN = (0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
COLORS = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73")  # of Okabe and Ito, told apart by all eyes


class Index(Protocol):
    """An index of unit vectors, by cosine."""

    least_effort: int

    def build(self, units: np.ndarray) -> None:
        """Builds it over float32 (n, d), in one thread."""

    def save(self, path: Path) -> None: ...

    def set_effort(self, effort: int) -> None:
        """Sets how far the next searches look."""

    def search(self, query: np.ndarray) -> Sequence[int] | np.ndarray:
        """The K + 1 rows nearest to a vector, float32 (d,), or fewer, or −1 instead of some."""


class OfThePipeline:
    """The forest that the pipeline builds and searches."""

    least_effort = 2 * K

    def __init__(self, trees: int) -> None:
        self._trees = trees

    def build(self, units: np.ndarray) -> None:
        self._index = AnnoyForest.build(units, self._trees, SEED)

    def save(self, path: Path) -> None:
        self._index.save(path)

    def set_effort(self, effort: int) -> None:
        self._effort = effort

    def search(self, query: np.ndarray) -> Sequence[int]:
        return self._index.search(query, K + 1, self._effort)


class Hnswlib:
    """The HNSW of its inventors."""

    least_effort = K + 1

    def build(self, units: np.ndarray) -> None:
        self._index = hnswlib.Index("ip", units.shape[1])
        self._index.init_index(len(units), LINKS, CONSTRUCTION_EFFORT, SEED)
        self._index.add_items(units, num_threads=1)

    def save(self, path: Path) -> None:
        self._index.save_index(str(path))

    def set_effort(self, effort: int) -> None:
        self._index.set_ef(effort)

    def search(self, query: np.ndarray) -> np.ndarray:
        return self._index.knn_query(query, K + 1, num_threads=1)[0][0]


class FaissHnsw:
    """The HNSW of Faiss."""

    least_effort = K + 1

    def build(self, units: np.ndarray) -> None:
        self._index = faiss.IndexHNSWFlat(units.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = CONSTRUCTION_EFFORT
        self._index.add(units)

    def save(self, path: Path) -> None:
        faiss.write_index(self._index, str(path))

    def set_effort(self, effort: int) -> None:
        self._index.hnsw.efSearch = effort

    def search(self, query: np.ndarray) -> np.ndarray:
        return self._index.search(query[None], K + 1)[1][0]


class FaissIvf:
    """Inverted lists: the vectors around each of many centers."""

    least_effort = 1

    def build(self, units: np.ndarray) -> None:
        lists, size = round(LISTS_PER_ROOT * len(units) ** 0.5), units.shape[1]
        self._centers = faiss.IndexFlatIP(size)  # the index does not keep it alive
        self._index = faiss.IndexIVFFlat(self._centers, size, lists, faiss.METRIC_INNER_PRODUCT)
        self._index.train(units)
        self._index.add(units)

    def save(self, path: Path) -> None:
        faiss.write_index(self._index, str(path))

    def set_effort(self, effort: int) -> None:
        self._index.nprobe = effort

    def search(self, query: np.ndarray) -> np.ndarray:
        return self._index.search(query[None], K + 1)[1][0]


ANNOY = "Annoy, 10 trees"
INDEXES: dict[str, Callable[[], Index]] = {
    ANNOY: partial(OfThePipeline, 10),
    "Annoy, 50 trees": partial(OfThePipeline, 50),
    "hnswlib": Hnswlib,
    "faiss HNSW": FaissHnsw,
    "faiss IVF": FaissIvf,
}


class Result(NamedTuple):
    """What was measured of one index.

    Attributes:
        build_seconds: on the wall clock.
        megabytes: on disk.
        recalls: one for each effort, float64 (m,), ascending.
        qps: queries per second at these recalls, float64 (m,).
    """

    build_seconds: float
    megabytes: float
    recalls: np.ndarray
    qps: np.ndarray

    def qps_at(self, recall: float) -> float:
        """Queries per second at a recall, or at the lowest measured if that is higher; NaN if it was not reached."""
        return float(np.exp(np.interp(recall, self.recalls, np.log(self.qps), right=np.nan)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sources(parser, ["30000"])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5, help="that count; one more does not")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw recall against queries per second")
    add_output(parser)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    results, rows, tables = {}, [], []
    for source in arguments.sources:
        vectors = load(source)
        title = describe(source, vectors.shape)
        results[title] = measure(normalize(vectors), arguments.queries, arguments.rounds)
        tables.append(results_table(title, results[title]))
        rows += compare(title, results[title])
    publish("\n\n".join([*tables, as_table(rows)]), "Approximate indexes at equal recall", arguments.output)
    if arguments.plot:
        draw(results, arguments.plot)


def measure(units: np.ndarray, count: int, rounds: int) -> dict[str, Result]:
    """Builds each index over vectors of length 1, float32 (n, d), and searches for `count` of them."""
    rows = np.random.default_rng(SEED).choice(len(units), min(count, len(units)), replace=False)
    queries = list(units[rows])
    exact = np.stack([nearest_to(units, units[row], K, np.arange(len(units)) != row)[1] for row in rows])
    costs, recalls, searches = {}, {}, {}
    with TemporaryDirectory() as folder:  # for as long as Annoy has its file mapped
        for name, make in INDEXES.items():
            index = make()
            costs[name] = build(index, units, Path(folder, name))
            recalls[name] = sweep(index, units, rows, exact)
            # The first searches after another index's bring this one back into the processor's caches.
            searches[f"{name}, warming"] = partial(search_all, index, index.least_effort, queries)
            for effort in recalls[name]:
                searches[f"{name}, {effort}"] = partial(search_all, index, effort, queries)
        seconds = median_seconds(searches, rounds)
    results = {}
    for name, by_effort in recalls.items():
        points = [(found, len(rows) / seconds[f"{name}, {effort}"]) for effort, found in by_effort.items()]
        results[name] = Result(*costs[name], *np.array(sorted(points)).T)
    return results


def build(index: Index, units: np.ndarray, path: Path) -> tuple[float, float]:
    """Builds and saves an index; gives the seconds of building and the 10⁶ bytes of the file."""
    start = time.perf_counter()
    index.build(units)
    seconds = time.perf_counter() - start
    index.save(path)
    return seconds, path.stat().st_size / 1e6


def sweep(index: Index, units: np.ndarray, rows: np.ndarray, exact: np.ndarray) -> dict[int, float]:
    """Searches with growing effort until the highest of RECALLS is reached, and FEWEST_EFFORTS times at least.

    Args:
        index: built over `units`.
        units: float32 (n, d).
        rows: the queries, int64 (q,).
        exact: cosines of their true neighbors, float64 (q, K), best first.

    Returns:
        The recall by effort.
    """
    recalls: dict[int, float] = {}
    effort = index.least_effort
    while effort <= len(units):
        index.set_effort(effort)
        recalls[effort] = recall(np.stack([cosines_found(index, units, row) for row in rows]), exact)
        if recalls[effort] >= RECALLS[-1] and len(recalls) >= FEWEST_EFFORTS:
            break
        effort = max(effort + 1, round(effort * GROWTH))
    return recalls


def cosines_found(index: Index, units: np.ndarray, row: int) -> np.ndarray:
    """The cosines, float64 (K,), of the neighbors that are found for a row of `units`, in any order."""
    found = np.asarray(index.search(units[row]))
    others = found[(found >= 0) & (found != row)][:K]
    cosines = np.full(K, NO_NEIGHBOR)
    cosines[: len(others)] = (units[others] @ units[row]).astype(np.float64).round(COSINE_DECIMALS)
    return cosines


def search_all(index: Index, effort: int, queries: list[np.ndarray]) -> None:
    index.set_effort(effort)
    for query in queries:
        index.search(query)


def results_table(title: str, results: dict[str, Result]) -> str:
    """A Markdown table of the indexes of one set of vectors."""
    at_recalls = " | ".join(f"QPS at {least:.2f}" for least in RECALLS)
    lines = [f"{title}\n\n| index | build, s | MB | {at_recalls} | × {ANNOY}, at {COMPARED_RECALL} |"]
    lines.append("|---|" + "--:|" * (len(RECALLS) + 3))
    for name, result in results.items():
        all_qps = " | ".join(f"{result.qps_at(least):,.0f}" for least in RECALLS)
        ratio = result.qps_at(COMPARED_RECALL) / results[ANNOY].qps_at(COMPARED_RECALL)
        lines.append(f"| {name} | {result.build_seconds:.1f} | {result.megabytes:.1f} | {all_qps} | {ratio:.2f} |")
    return "\n".join(lines)


def compare(title: str, results: dict[str, Result]) -> list[Row]:
    """Annoy with the pipeline's number of trees beside each other index, by queries per second."""
    qps = {name: result.qps_at(COMPARED_RECALL) for name, result in results.items()}
    what = f"QPS at recall {COMPARED_RECALL}, {title}"
    return [
        Row(f"{what}, {name}", f"{qps[ANNOY]:,.0f}", f"{theirs:,.0f}", qps[ANNOY] / theirs)
        for name, theirs in qps.items()
        if name != ANNOY
    ]


def draw(results: dict[str, dict[str, Result]], path: Path) -> None:
    """Draws recall against queries per second, one panel for each set of vectors."""
    figure, panels = plt.subplots(
        1, len(results), figsize=(9.4, 4.6), dpi=150, sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (title, by_name) in zip(panels[0], results.items(), strict=True):
        for (name, result), color in zip(by_name.items(), COLORS, strict=True):
            panel.plot(result.recalls, result.qps, "o-", color=color, label=name, markersize=4, linewidth=1.8)
        panel.set(title=title, xlabel="recall@10", xscale="logit", yscale="log", xlim=(DRAWN[0], DRAWN[-1]))
        panel.set_xticks(DRAWN, [f"{recall:g}" for recall in DRAWN])
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:,.0f}")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_locator(NullLocator())
        panel.grid(color="#e3e3e3", linewidth=0.7)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("queries per second, one thread")
    last = list(results.values())[-1]
    order = sorted(last, key=lambda name: -last[name].qps_at(COMPARED_RECALL))  # the legend's, as the lines lie
    handles = {line.get_label(): line for line in panels[0, -1].get_lines()}
    figure.legend([handles[name] for name in order], order, loc="outside right center", frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    run_command(main)
