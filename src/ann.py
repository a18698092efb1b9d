"""Stage `ann`: build the approximate index and measure it against the exact neighbors."""

from pipeline.inputs import load_rows
from pipeline.stage import run_stage, track

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import read_manifest
from similarity.data.files import Outputs, write_json_entries, write_metrics, write_table
from similarity.errors import UserError
from similarity.index.approximate import (
    AnnoyForest,
    approximate_neighbors,
    divide_queries,
    recall,
    recall_lower_bound,
    smallest_search_k,
)
from similarity.index.inverted_index import read_cosines, write_inverted_index
from similarity.params import Params

TARGET_QUERIES = 5000
SWEEP_QUERIES = 2000
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300, 1000)  # of top_k + 1, the smallest search_k that makes sense


Search = Callable[[np.ndarray, int, str], tuple[np.ndarray, np.ndarray]]
"""Finds the approximate neighbors of some rows, int64 (m, k), with their cosines, float64 (m, k), by a search_k."""


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings, seed = read_manifest(layout.MANIFEST), params.ann, params.base.seed
    embeddings = np.asarray(load_rows(layout.EMBEDDINGS, manifest))
    exact = read_cosines(layout.INVERTED_INDEX, manifest.keys, params.neighbors.top_k)
    index, k = AnnoyForest.build(embeddings, settings.trees, seed), exact.shape[1]

    def search(rows: np.ndarray, search_k: int, label: str) -> tuple[np.ndarray, np.ndarray]:
        return approximate_neighbors(index, embeddings, rows, k, search_k, partial(track, label=label))

    rows, search_k = np.arange(len(embeddings)), settings.search_k
    reported = rows
    if settings.target_recall is not None:
        sample, reported = divide_queries(len(rows), TARGET_QUERIES, seed)
        search_k = reach(search, exact, sample, settings.target_recall, settings.trees)
    search_k = search_k or index.default_search_k(k + 1)
    found, cosines = search(rows, search_k, "ann")
    index.save(outputs.file(layout.ANN_INDEX))
    write_json_entries(outputs.file(layout.ANN_SETTINGS), [("search_k", search_k)])
    write_inverted_index(outputs.file(layout.ANN_INVERTED_INDEX), manifest.keys, zip(found, cosines, strict=True))
    recall_at_k = recall(cosines[reported], exact[reported])
    write_metrics(outputs.file(layout.METRICS / "ann.json"), {"recall_at_k": recall_at_k})
    write_metrics(outputs.file(layout.DETAILS / "ann.json"), {"recall_at_k": recall_at_k, "k": k, "search_k": search_k})
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:SWEEP_QUERIES])
    write_table(outputs.file(layout.PLOTS / "ann_recall.csv"), ("search_k", "recall"), sweep(search, exact, sample))
    print(f"ann: recall@{k} {recall_at_k:.4f} with {settings.trees} trees and search_k {search_k}")


def reach(search: Search, exact: np.ndarray, sample: np.ndarray, target: float, trees: int) -> int:
    """Find the smallest search_k for which a sample shows, at a level of 95 %, that it reaches the target.

    Raises:
        UserError: no search_k does, or the sample is too small to show it.
    """

    def bound(search_k: int) -> float:
        return recall_lower_bound(search(sample, search_k, f"ann: search_k {search_k}")[1], true)

    images, true = len(exact), exact[sample]
    if (provable := recall_lower_bound(true, true)) < target:
        raise UserError(
            f"ann.target_recall in params.yaml: {target:g} cannot be shown with {len(sample)} queries: even without a "
            f"miss they prove a recall of {provable:.4f} only; lower it, or set ann.search_k instead"
        )
    search_k = smallest_search_k(bound, target, highest=images)
    if search_k is None:
        raise UserError(
            f"ann.target_recall in params.yaml: {target:g} is not reached with as many candidates as images "
            f"({images}), but {bound(images):.4f}; lower it, or raise ann.trees (now {trees})"
        )
    return search_k


def sweep(search: Search, exact: np.ndarray, sample: np.ndarray) -> Iterator[tuple[int, str]]:
    """Give pairs of search_k and the recall of a sample of queries."""
    for multiple in SWEEP_MULTIPLES:
        search_k = multiple * (exact.shape[1] + 1)
        _, cosines = search(sample, search_k, f"ann: sweep, search_k {search_k}")
        yield search_k, f"{recall(cosines, exact[sample]):.6f}"


if __name__ == "__main__":
    run_stage(main)
