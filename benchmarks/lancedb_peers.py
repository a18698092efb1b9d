"""What it costs to search embeddings in LanceDB rather than in memory, with filters and without.

    python benchmarks/lancedb_peers.py [real | NUMBER …]

All are asked through the interface that the service uses, for one query at a time. Exact search and Annoy are as the
pipeline has them by default, in memory; LanceDB's table is on disk. Queries are sampled vectors, whose own does not
count as found; recall@10 is that of searches without a filter, ties counted as found. A class is a hundredth of the
rows, a split a fifth. Times are the medians of one round over all queries, after one that does not count.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from comparison import as_markdown, load_vectors, make_parser, publish, run_command
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.vectors import normalize
from similarity.engine.published import Row as PublishedRow
from similarity.engine.published import open_table
from similarity.engine.published import publish as publish_rows
from similarity.engine.stores import InMemoryStore, Parts, VectorStore
from similarity.index import build_forest, default_search_k, recall

K = 10
SEED = 0
TREES = 10  # the pipeline's default
CLASSES = 100
SPLITS = ("train", "train", "train", "valid", "test")
EXACT, ANNOY, LANCEDB = "exact", "Annoy", "LanceDB"
TABLE = "run"


class Result(NamedTuple):
    """Seconds of building, recall, and milliseconds per query: of all, in a class, and in a split."""

    build: float
    recall: float
    plain: float
    of_class: float
    of_split: float


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("sources", nargs="*", default=["100000x288"], metavar="SOURCE")
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    tables = []
    for source in arguments.sources:
        vectors = load_vectors(source)
        table = results_table(measure(vectors, arguments.queries))
        tables.append(f"{len(vectors):,} × {vectors.shape[1]}, {source}\n\n{table}")
    publish("\n\n".join(tables), "LanceDB compared with memory", arguments.output)


def measure(vectors: np.ndarray, count: int) -> dict[str, Result]:
    """Build and search each store of some vectors, float32 (n, d)."""
    units, parts = normalize(vectors), Parts(vectors.shape[1], 0, 0)
    labels, splits = np.arange(len(units)) % CLASSES, np.arange(len(units)) // CLASSES % len(SPLITS)
    queries = np.sort(np.random.default_rng(SEED).choice(len(units), min(count, len(units)), replace=False))
    rows = (
        PublishedRow(ImageRecord(f"{row:09}", f"class {labels[row]:03}", "", 1, 1), SPLITS[splits[row]], "", unit)
        for row, unit in enumerate(units)
    )
    allowed = np.ones(len(units), bool), labels == 0, splits == len(SPLITS) - 1
    with TemporaryDirectory() as folder:
        makers: dict[str, Callable[[], VectorStore]] = {
            ANNOY: lambda: build_store(units, parts),
            LANCEDB: lambda: publish_and_open(folder, rows, parts),
        }
        stores, seconds = {}, {EXACT: 0.0}
        for name, make in makers.items():
            start = time.perf_counter()
            stores[name] = make()
            seconds[name] = time.perf_counter() - start
        stores[EXACT] = stores[ANNOY]
        exact = [stores[EXACT].nearest(units[row], K, True, allowed=without(allowed[0], row))[1] for row in queries]
        return {
            name: Result(seconds[name], *ask(stores[name], units, queries, np.array(exact), name == EXACT, allowed))
            for name in (EXACT, ANNOY, LANCEDB)
        }


def build_store(units: np.ndarray, parts: Parts) -> VectorStore:
    """Build a forest over embeddings in memory."""
    forest = build_forest(units, TREES, SEED)
    return InMemoryStore(units, forest, default_search_k(forest, K + 1), parts)


def publish_and_open(folder: str, rows: Iterable[PublishedRow], parts: Parts) -> VectorStore:
    """Write rows to a table of LanceDB and open it."""
    publish_rows(folder, TABLE, rows, parts.size)
    return open_table(folder, TABLE, parts).vectors


def ask(
    store: VectorStore,
    units: np.ndarray,
    queries: np.ndarray,
    exact: np.ndarray,
    is_exact: bool,
    allowed: tuple[np.ndarray, ...],
) -> Iterator[float]:
    """Yield the recall of a store, then its milliseconds per query for each mask of allowed rows, the first of all."""
    for number, mask in enumerate(allowed):
        found, milliseconds = [], []
        for is_counted in (False, True):
            for row in queries.tolist():
                own = without(mask, row)
                start = time.perf_counter()
                cosines = store.nearest(units[row], K, is_exact, allowed=own)[1]
                if is_counted:
                    milliseconds.append(1000 * (time.perf_counter() - start))
                    found.append(cosines)
        if number == 0:
            yield recall(np.array(found), exact)
        yield float(np.median(milliseconds))


def without(mask: np.ndarray, row: int) -> np.ndarray:
    """Copy a mask, bool (n,), with one row less."""
    copy = mask.copy()
    copy[row] = False
    return copy


def results_table(results: dict[str, Result]) -> str:
    """Format a Markdown table of the stores of one set of vectors."""
    columns = ["search", "build, s", "recall@10", "p50, ms", "in a class, ms", "in a split, ms"]
    rows = [
        [name, f"{found.build:.1f}" if found.build else "–", f"{found.recall:.4f}", *(f"{ms:.3g}" for ms in found[2:])]
        for name, found in results.items()
    ]
    return as_markdown(columns, rows)


if __name__ == "__main__":
    run_command(main)
