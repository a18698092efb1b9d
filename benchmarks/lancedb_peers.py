"""What it costs to search embeddings in LanceDB rather than in memory, with filters and without.

    python benchmarks/lancedb_peers.py [real | NUMBER …]

All are asked through the interface that the service uses, for one query at a time. Exact search and Annoy are as the
pipeline has them by default, in memory; LanceDB's table is on disk. Queries are sampled vectors, whose own does not
count as found; recall@10 is that of searches without a filter, ties counted as found. A class is a hundredth of the
rows, a split a fifth. Times are the medians of one round over all queries, after one that does not count.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from comparison import Row, add_output, as_table, publish
from vectors import add_sources, describe, load

sys.path.insert(0, "src")

from pipeline.stage import run_command, track

from similarity.dataset.manifest import ImageRecord
from similarity.engine.published import Row as PublishedRow
from similarity.engine.published import open_table
from similarity.engine.published import publish as publish_rows
from similarity.engine.stores import InMemoryStore, Parts, VectorStore
from similarity.index.approximate import AnnoyForest, recall
from similarity.vectors import normalize

K = 10
SEED = 0
TREES = 10  # the pipeline's default
CLASSES = 100
SPLITS = ("train", "train", "train", "valid", "test")
LANCEDB = "LanceDB"


class Result(NamedTuple):
    """Seconds of building, recall, and milliseconds per query: of all, in a class, and in a split."""

    build: float
    recall: float
    plain: float
    of_class: float
    of_split: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sources(parser, ["100000"])
    parser.add_argument("--queries", type=int, default=200)
    add_output(parser)
    arguments = parser.parse_args()
    tables, rows = [], []
    for source in arguments.sources:
        vectors = load(source)
        title = describe(source, vectors.shape)
        results = measure(vectors, arguments.queries)
        tables.append(results_table(title, results))
        rows += compare(title, results)
    publish("\n\n".join([*tables, as_table(rows)]), "A vector database beside memory", arguments.output)


def measure(vectors: np.ndarray, count: int) -> dict[str, Result]:
    """Builds and asks each store of some vectors, float32 (n, d)."""
    units, parts = normalize(vectors), Parts(vectors.shape[1], 0, 0)
    labels, splits = np.arange(len(units)) % CLASSES, np.arange(len(units)) // CLASSES % len(SPLITS)
    queries = np.sort(np.random.default_rng(SEED).choice(len(units), min(count, len(units)), replace=False))
    with TemporaryDirectory() as folder:
        rows = (
            PublishedRow(ImageRecord(f"{row:09}", f"class {labels[row]}", "", 0, 0), SPLITS[splits[row]], "", unit)
            for row, unit in enumerate(units)
        )

        def make_table() -> VectorStore:
            publish_rows(folder, "table", track(rows, "publish", len(units)), units.shape[1])
            return open_table(folder, "table", parts).vectors

        makers: dict[str, Callable[[], VectorStore]] = {
            "Annoy": lambda: InMemoryStore(units, AnnoyForest.build(units, TREES, SEED), None, parts),
            LANCEDB: make_table,
        }
        stores, seconds = {}, {}
        for name, make in makers.items():
            start = time.perf_counter()
            stores[name] = make()
            seconds[name] = time.perf_counter() - start
        exact = [cosines_of(stores["Annoy"], units, True, None, row) for row in queries]
        allowed = labels == 0, splits == len(SPLITS) - 1
        asked: dict[str, tuple[VectorStore, bool]] = {"exact": (stores["Annoy"], True)}
        asked |= {name: (store, False) for name, store in stores.items()}
        return {
            name: Result(seconds.get(name, 0), *ask(store, units, queries, np.array(exact), is_exact, allowed))
            for name, (store, is_exact) in track(asked.items(), "stores", len(asked), unit="")
        }


def ask(
    store: VectorStore,
    units: np.ndarray,
    queries: np.ndarray,
    exact: np.ndarray,
    is_exact: bool,
    allowed: Iterable[np.ndarray],
) -> Iterator[float]:
    """The recall of a store, and its milliseconds without a filter and with each of some."""
    for mask in (None, *allowed):
        found, milliseconds = timed(partial(cosines_of, store, units, is_exact, mask), queries)
        if mask is None:
            yield recall(np.array(found), exact)
        yield milliseconds


def cosines_of(store: VectorStore, units: np.ndarray, is_exact: bool, mask: np.ndarray | None, row: int) -> np.ndarray:
    allowed = np.ones(len(units), bool) if mask is None else mask.copy()
    allowed[row] = False
    return store.nearest(units[row], K, is_exact, allowed=allowed)[1]


def timed(search: Callable[[int], Any], queries: np.ndarray) -> tuple[list[Any], float]:
    """What is found for each query, and the median of its milliseconds."""
    for row in queries.tolist():
        search(row)
    found, seconds = [], []
    for row in queries.tolist():
        start = time.perf_counter()
        found.append(search(row))
        seconds.append(time.perf_counter() - start)
    return found, 1000 * float(np.median(seconds))


def results_table(title: str, results: dict[str, Result]) -> str:
    """A Markdown table of the stores of one set of vectors."""
    lines = [f"{title}\n\n| search | build, s | recall@10 | p50, ms | in a class, ms | in a split, ms |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    for name, found in results.items():
        build = f"{found.build:.1f}" if found.build else "–"
        lines.append(
            f"| {name} | {build} | {found.recall:.4f} | {found.plain:.3g} | {found.of_class:.3g} | "
            f"{found.of_split:.3g} |"
        )
    return "\n".join(lines)


def compare(title: str, results: dict[str, Result]) -> list[Row]:
    """LanceDB beside each search in memory, by the time of a query."""
    ours = results[LANCEDB]
    return [
        Row(f"ms per query, {title}, {LANCEDB} beside {name}", f"{ours.plain:.3g}", f"{theirs.plain:.3g}",
            ours.plain / theirs.plain)
        for name, theirs in results.items() if name != LANCEDB
    ]  # fmt: skip


if __name__ == "__main__":
    run_command(main)
