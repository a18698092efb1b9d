"""How fast approximate indexes are at equal recall: Annoy, which the pipeline uses, compared with HNSW and IVF.

    python benchmarks/ann_peers.py [real | NUMBER …] [--plot docs/ann_peers.png]

Each index is built and searched in one thread. Queries are sampled vectors, searched for one at a time from Python, so
every search has the cost of a call; a query's own vector does not count as found. The effort of a search (search_k, ef,
nprobe) grows until recall@10, with ties counted as found, reaches 0.99. All indexes take turns at all efforts; queries
per second (QPS) are from the median over the rounds, and between two efforts their logarithm is linear in recall. An
index whose least effort finds more than a recall asked for has the speed of that effort. Sizes are of the saved index
with its vectors, in 10⁶ bytes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import faiss
import hnswlib
import numpy as np
from annoy import AnnoyIndex

from comparison import Row, as_markdown, as_table, make_parser, median_seconds, publish, run_command
from similarity.data.vectors import COSINE_DECIMALS, normalize
from similarity.index.approximate import recall
from vectors import add_sources, describe, load

K = 10
SEED = 0
LINKS, CONSTRUCTION_EFFORT = 16, 200  # of both HNSW; common choices
LISTS_PER_ROOT = 4  # of IVF, × √n
RECALLS = (0.90, 0.95, 0.99)
COMPARED_RECALL = 0.95
GROWTH = 1.4  # of the effort, from one measurement to the next
FEWEST_EFFORTS = 4  # so that an index whose least effort is already good has a curve
NO_NEIGHBOR = -2.0  # below every cosine


class Index(Protocol):
    """An index of unit vectors, by cosine. `search` finds the K + 1 rows nearest to a vector, or −1 instead of some."""

    least_effort: int

    def build(self, units: np.ndarray) -> None: ...
    def save(self, path: Path) -> None: ...
    def search(self, query: np.ndarray, effort: int) -> Sequence[int] | np.ndarray: ...


class Annoy:
    """Trees of random projections, as the pipeline builds and searches them."""

    least_effort = 2 * K

    def __init__(self, trees: int) -> None:
        self._trees = trees

    def build(self, units: np.ndarray) -> None:
        self._index = AnnoyIndex(units.shape[1], "angular")
        self._index.set_seed(SEED)
        for row, unit in enumerate(units):
            self._index.add_item(row, unit)
        self._index.build(self._trees, n_jobs=1)

    def save(self, path: Path) -> None:
        self._index.save(str(path))

    def search(self, query: np.ndarray, effort: int) -> Sequence[int]:
        return self._index.get_nns_by_vector(query, K + 1, effort)


class Hnswlib:
    """The HNSW of its inventors."""

    least_effort = K + 1

    def build(self, units: np.ndarray) -> None:
        self._index = hnswlib.Index("ip", units.shape[1])
        self._index.init_index(len(units), LINKS, CONSTRUCTION_EFFORT, SEED)
        self._index.add_items(units, num_threads=1)

    def save(self, path: Path) -> None:
        self._index.save_index(str(path))

    def search(self, query: np.ndarray, effort: int) -> np.ndarray:
        self._index.set_ef(effort)
        return self._index.knn_query(query, K + 1, num_threads=1)[0][0]


class Faiss:
    """An index of faiss; a subclass says which, and how its effort is set."""

    _index: Any

    def save(self, path: Path) -> None:
        faiss.write_index(self._index, str(path))

    def search(self, query: np.ndarray, effort: int) -> np.ndarray:
        self._set(effort)
        return self._index.search(query[None], K + 1)[1][0]

    def _set(self, effort: int) -> None:
        raise NotImplementedError


class FaissHnsw(Faiss):
    """HNSW."""

    least_effort = K + 1

    def build(self, units: np.ndarray) -> None:
        self._index = faiss.IndexHNSWFlat(units.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = CONSTRUCTION_EFFORT
        self._index.add(units)

    def _set(self, effort: int) -> None:
        self._index.hnsw.efSearch = effort


class FaissIvf(Faiss):
    """Inverted lists: the vectors around each of many centers."""

    least_effort = 1

    def build(self, units: np.ndarray) -> None:
        lists, size = round(LISTS_PER_ROOT * len(units) ** 0.5), units.shape[1]
        self._centers = faiss.IndexFlatIP(size)  # the index does not keep it alive
        self._index = faiss.IndexIVFFlat(self._centers, size, lists, faiss.METRIC_INNER_PRODUCT)
        self._index.train(units)
        self._index.add(units)

    def _set(self, effort: int) -> None:
        self._index.nprobe = effort


ANNOY = "Annoy, 10 trees"
INDEXES: Mapping[str, Callable[[], Index]] = {
    ANNOY: partial(Annoy, 10),
    "Annoy, 50 trees": partial(Annoy, 50),
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
        """Interpolate the queries per second at a recall; NaN if the recall was not reached."""
        return float(np.exp(np.interp(recall, self.recalls, np.log(self.qps), right=np.nan)))


def main() -> None:
    parser = make_parser(__doc__, rounds=5)
    add_sources(parser, ["30000"])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw recall against queries per second")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    results, rows, tables = {}, [], []
    for source in arguments.sources:
        vectors = load(source)
        title = describe(source, vectors.shape)
        results[title] = measure(normalize(vectors), arguments.queries, arguments.rounds)
        tables.append(f"{title}\n\n{results_table(results[title])}")
        rows += compare(title, results[title])
    publish("\n\n".join([*tables, as_table(rows)]), "Approximate indexes at equal recall", arguments.output)
    if arguments.plot:
        draw(results, arguments.plot)


def measure(units: np.ndarray, count: int, rounds: int) -> dict[str, Result]:
    """Build each index over vectors of length 1, float32 (n, d), and search for `count` of them."""
    rows = np.random.default_rng(SEED).choice(len(units), min(count, len(units)), replace=False)
    queries = list(units[rows])
    exact = np.stack([exact_cosines(units, row) for row in rows])
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
    """Build and save an index; return the seconds of building and the 10⁶ bytes of the file."""
    start = time.perf_counter()
    index.build(units)
    seconds = time.perf_counter() - start
    index.save(path)
    return seconds, path.stat().st_size / 1e6


def sweep(index: Index, units: np.ndarray, rows: np.ndarray, exact: np.ndarray) -> dict[int, float]:
    """Search with growing effort until the highest of RECALLS is reached, and FEWEST_EFFORTS times at least.

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
        found = [np.asarray(index.search(units[row], effort)) for row in rows]
        others = [each[(each >= 0) & (each != row)] for each, row in zip(found, rows, strict=True)]
        cosines = [cosines_of(each[:K], units, row) for each, row in zip(others, rows, strict=True)]
        recalls[effort] = recall(np.stack(cosines), exact)
        if recalls[effort] >= RECALLS[-1] and len(recalls) >= FEWEST_EFFORTS:
            break
        effort = max(effort + 1, round(effort * GROWTH))
    return recalls


def exact_cosines(units: np.ndarray, row: int) -> np.ndarray:
    """Compute the K highest cosines between a row of `units` and the others, float64 (K,), best first."""
    cosines = units @ units[row]
    cosines[row] = NO_NEIGHBOR
    return np.sort(np.partition(cosines, -K)[-K:].astype(np.float64).round(COSINE_DECIMALS))[::-1]


def cosines_of(found: np.ndarray, units: np.ndarray, row: int) -> np.ndarray:
    """Compute the cosines between a row of `units` and up to K rows found, float64 (K,), in any order."""
    cosines = np.full(K, NO_NEIGHBOR)
    cosines[: len(found)] = (units[found] @ units[row]).astype(np.float64).round(COSINE_DECIMALS)
    return cosines


def search_all(index: Index, effort: int, queries: list[np.ndarray]) -> None:
    for query in queries:
        index.search(query, effort)


def results_table(results: Mapping[str, Result]) -> str:
    """Format a Markdown table of the indexes of one set of vectors."""
    columns = ["index", "build, s", "MB", *(f"QPS at {least:.2f}" for least in RECALLS)]
    rows = []
    for name, result in results.items():
        all_qps = [f"{result.qps_at(least):,.0f}" for least in RECALLS]
        rows.append([name, f"{result.build_seconds:.1f}", f"{result.megabytes:.1f}", *all_qps])
    return as_markdown(columns, rows)


def compare(title: str, results: Mapping[str, Result]) -> list[Row]:
    """Compare Annoy, with the pipeline's number of trees, with each other index by queries per second."""
    qps = {name: result.qps_at(COMPARED_RECALL) for name, result in results.items()}
    what = f"QPS at recall {COMPARED_RECALL}, {title}"
    return [
        Row(f"{what}, {name}", f"{qps[ANNOY]:,.0f}", f"{theirs:,.0f}", qps[ANNOY] / theirs)
        for name, theirs in qps.items()
        if name != ANNOY
    ]


def draw(results: Mapping[str, Mapping[str, Result]], path: Path) -> None:
    """Draw recall against queries per second, one panel for each set of vectors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 4.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for panel, (title, by_name) in zip(panels, results.items(), strict=True):
        for name, result in by_name.items():
            panel.plot(result.recalls, result.qps, "o-", label=name, markersize=4)
        panel.set(title=title, xlabel="recall@10", xscale="logit", yscale="log", xlim=(0.6, 0.999))
        panel.grid(color="#e3e3e3", linewidth=0.7)
    panels[0].set_ylabel("queries per second, one thread")
    panels[-1].legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    run_command(main)
