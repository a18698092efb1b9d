"""Stage `ann`: builds the approximate index and measures it against the exact neighbors."""

from pipeline.inputs import load_rows
from pipeline.paths import (
    ANN_INDEX,
    ANN_SETTINGS,
    BASE_ANN_NEIGHBORS,
    BASE_EMBEDDINGS,
    BASE_NEIGHBORS,
    MANIFEST,
    METRICS,
    PLOTS,
)
from pipeline.stage import run_stage, track

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.errors import UserError
from similarity.files import Outputs, write_metrics, write_table
from similarity.index.approximate import approximate_neighbors
from similarity.index.backends import AnnIndex, AnnoyForest, FaissGraph, SearchSettings, save_settings
from similarity.index.neighbor_lists import NeighborLists, load_neighbors, save_neighbors
from similarity.index.recall import divide_queries, recall, recall_lower_bound, smallest_search_k
from similarity.params import AnnParams, Params
from similarity.vectors import normalize

TARGET_QUERIES = 5000
MANY_CANDIDATES = 0.1  # share of the images; above it, an approximate search is hardly faster than an exact one
FEW_IMAGES = 10_000  # with which any search is fast
SWEEP_QUERIES = 2000
CHECKED_IMAGES = 100
ROUNDING = 1e-5  # of a cosine: half of its sixth decimal, and what 32 bits cost
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300, 1000)  # of top_k + 1, the smallest search_k that makes sense


@dataclass(frozen=True)
class Measured:
    """An index, the embeddings in it, and the cosines of the true neighbors of each, float64 (n, k)."""

    index: AnnIndex
    embeddings: np.ndarray
    exact: np.ndarray

    def search(self, rows: np.ndarray, search_k: int | None, label: str) -> tuple[np.ndarray, np.ndarray]:
        """The approximate neighbors of some rows, int64 (m, k), and their cosines."""
        return approximate_neighbors(
            self.index, self.embeddings, rows, self.exact.shape[1], search_k, lambda items: track(items, label)
        )


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    embeddings = np.asarray(load_rows(BASE_EMBEDDINGS, manifest))
    rows, search_k = np.arange(len(embeddings)), params.ann.search_k
    exact = _exact_cosines(embeddings, params.neighbors.top_k)
    measured = Measured(_build(embeddings, params.ann, params.base.seed), embeddings, exact)
    reported = rows
    if params.ann.target_recall is not None:
        sample, reported = divide_queries(len(rows), TARGET_QUERIES, params.base.seed)
        search_k = _reach(measured, sample, params.ann.target_recall, params.ann)
    measured.index.save(outputs.file(ANN_INDEX))
    save_settings(SearchSettings(measured.index.backend, search_k), outputs.file(ANN_SETTINGS))
    found, cosines = measured.search(rows, search_k, "ann")
    save_neighbors(NeighborLists(found, cosines), outputs.file(BASE_ANN_NEIGHBORS))
    figures = {
        "recall_at_k": recall(cosines[reported], exact[reported]),
        "k": exact.shape[1],
        "search_k": search_k or measured.index.default_search_k(exact.shape[1] + 1),
    }
    write_metrics(outputs.file(METRICS / "ann.json"), figures)
    sweep = _sweep(measured, np.sort(np.random.default_rng(params.base.seed).permutation(rows)[:SWEEP_QUERIES]))
    write_table(outputs.file(PLOTS / "ann_recall.csv"), ("search_k", "recall"), sweep)
    print(
        f"ann: recall@{figures['k']} {figures['recall_at_k']:.4f} with {params.ann.backend}, "
        f"search_k {figures['search_k']}"
    )


def _build(embeddings: np.ndarray, params: AnnParams, seed: int) -> AnnIndex:
    if params.backend == "annoy":
        return AnnoyForest.build(embeddings, params.trees, seed)
    return FaissGraph.build(embeddings, params.links, seed)


def _exact_cosines(embeddings: np.ndarray, top_k: int) -> np.ndarray:
    """The true neighbors' cosines, float64 (n, k), from the lists of these embeddings and this k."""
    lists = load_neighbors(BASE_NEIGHBORS, len(embeddings), top_k)
    checked = np.unique(np.linspace(0, len(embeddings) - 1, CHECKED_IMAGES).astype(int))
    units, neighbors = normalize(embeddings[checked]), normalize(embeddings[lists.rows[checked].ravel()])
    cosines = np.einsum("nd,nkd->nk", units, neighbors.reshape(len(checked), -1, embeddings.shape[1]))
    if not np.allclose(cosines, lists.cosines[checked], rtol=0, atol=ROUNDING):
        raise UserError(f"{BASE_NEIGHBORS} is of other embeddings than {BASE_EMBEDDINGS}: run `dvc repro`")
    return lists.cosines


def _reach(measured: Measured, sample: np.ndarray, target: float, params: AnnParams) -> int:
    """Finds the smallest search_k of which a sample shows, at a level of 95 %, that it reaches the target."""

    def bound(search_k: int) -> float:
        return recall_lower_bound(measured.search(sample, search_k, f"ann: search_k {search_k}")[1], exact)

    images, exact = len(measured.embeddings), measured.exact[sample]
    if (provable := recall_lower_bound(exact, exact)) < target:
        raise UserError(
            f"ann.target_recall in params.yaml: {target:g} cannot be shown with {len(sample)} queries: even without a "
            f"miss they prove a recall of {provable:.4f} only; lower it, or set ann.search_k instead"
        )
    grow = "ann.trees" if params.backend == "annoy" else "ann.links"
    search_k = smallest_search_k(bound, target, highest=images)
    if search_k is None:
        raise UserError(
            f"ann.target_recall in params.yaml: {target:g} is not reached with as many candidates as images "
            f"({images}), but {bound(images):.4f}; lower it, or change {grow} "
            f"(now {getattr(params, grow.removeprefix('ann.'))})"
        )
    if search_k > MANY_CANDIDATES * images and images > FEW_IMAGES:
        print(f"ann: {search_k} candidates are a large share of {images} images; raise {grow} to need fewer")
    return search_k


def _sweep(measured: Measured, sample: np.ndarray) -> Iterator[tuple[int, str]]:
    """Gives pairs of search_k and the recall of some queries, by their rows."""
    exact = measured.exact[sample]
    for multiple in SWEEP_MULTIPLES:
        search_k = multiple * (exact.shape[1] + 1)
        _, cosines = measured.search(sample, search_k, f"ann: sweep, search_k {search_k}")
        yield search_k, f"{recall(cosines, exact):.6f}"


if __name__ == "__main__":
    run_stage(main)
