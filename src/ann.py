"""Stage `ann`: builds the approximate index and measures it against the exact neighbors."""

from pipeline.inputs import load_rows
from pipeline.stage import run_stage, track

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.errors import UserError
from similarity.files import Outputs, write_json_entries, write_metrics, write_table
from similarity.index.approximate import (
    AnnoyForest,
    approximate_neighbors,
    divide_queries,
    recall,
    recall_lower_bound,
    smallest_search_k,
)
from similarity.index.inverted_index import read_cosines, write_inverted_index
from similarity.layout import (
    ANN_INDEX,
    ANN_INVERTED_INDEX,
    ANN_SETTINGS,
    DETAILS,
    EMBEDDINGS,
    INVERTED_INDEX,
    MANIFEST,
    METRICS,
    PLOTS,
)
from similarity.params import Params

TARGET_QUERIES = 5000
MANY_CANDIDATES = 0.1  # share of the images; above it, an approximate search is hardly faster than an exact one
FEW_IMAGES = 10_000  # with which any search is fast
SWEEP_QUERIES = 2000
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300, 1000)  # of top_k + 1, the smallest search_k that makes sense


@dataclass(frozen=True)
class Measured:
    """An index, the embeddings in it, and the cosines of the true neighbors of each, float64 (n, k)."""

    index: AnnoyForest
    embeddings: np.ndarray
    exact: np.ndarray

    def search(self, rows: np.ndarray, search_k: int, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Find the approximate neighbors of some rows, int64 (m, k), and their cosines, float64 (m, k)."""
        return approximate_neighbors(
            self.index, self.embeddings, rows, self.exact.shape[1], search_k, lambda items: track(items, label)
        )


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings, seed = read_manifest(MANIFEST), params.ann, params.base.seed
    embeddings = np.asarray(load_rows(EMBEDDINGS, manifest))
    exact = read_cosines(INVERTED_INDEX, manifest.keys, params.neighbors.top_k)
    measured = Measured(AnnoyForest.build(embeddings, settings.trees, seed), embeddings, exact)
    rows, search_k = np.arange(len(embeddings)), settings.search_k
    reported = rows
    if settings.target_recall is not None:
        sample, reported = divide_queries(len(rows), TARGET_QUERIES, seed)
        search_k = reach(measured, sample, settings.target_recall, settings.trees)
    search_k = search_k or measured.index.default_search_k(exact.shape[1] + 1)
    found, cosines = measured.search(rows, search_k, "ann")
    measured.index.save(outputs.file(ANN_INDEX))
    write_json_entries(outputs.file(ANN_SETTINGS), [("search_k", search_k)])  # for queries: params.yaml may change
    write_inverted_index(outputs.file(ANN_INVERTED_INDEX), manifest.keys, zip(found, cosines, strict=True))
    recall_at_k = recall(cosines[reported], exact[reported])
    write_metrics(outputs.file(METRICS / "ann.json"), {"recall_at_k": recall_at_k})
    write_metrics(outputs.file(DETAILS / "ann.json"), {"k": exact.shape[1], "search_k": search_k})
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:SWEEP_QUERIES])
    write_table(outputs.file(PLOTS / "ann_recall.csv"), ("search_k", "recall"), sweep(measured, sample))
    print(f"ann: recall@{exact.shape[1]} {recall_at_k:.4f} with {settings.trees} trees and search_k {search_k}")


def reach(measured: Measured, sample: np.ndarray, target: float, trees: int) -> int:
    """Find the smallest search_k for which a sample shows, at a level of 95 %, that it reaches the target.

    Raises:
        UserError: no search_k does, or the sample is too small to show it.
    """

    def bound(search_k: int) -> float:
        return recall_lower_bound(measured.search(sample, search_k, f"ann: search_k {search_k}")[1], exact)

    images, exact = len(measured.embeddings), measured.exact[sample]
    if (provable := recall_lower_bound(exact, exact)) < target:
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
    if search_k > MANY_CANDIDATES * images and images > FEW_IMAGES:
        print(f"ann: {search_k} candidates are a large share of {images} images; raise ann.trees to need fewer")
    return search_k


def sweep(measured: Measured, sample: np.ndarray) -> Iterator[tuple[int, str]]:
    """Yield pairs of search_k and the recall of some queries, given by their rows."""
    exact = measured.exact[sample]
    for multiple in SWEEP_MULTIPLES:
        search_k = multiple * (exact.shape[1] + 1)
        _, cosines = measured.search(sample, search_k, f"ann: sweep, search_k {search_k}")
        yield search_k, f"{recall(cosines, exact):.6f}"


if __name__ == "__main__":
    run_stage(main)
