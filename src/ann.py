"""Stage `ann`: builds the approximate index and measures it against the exact neighbors."""

from collections.abc import Iterator

import numpy as np

from pipeline.paths import ANN_INDEX, ANN_SETTINGS, EMBEDDINGS, INVERTED_INDEX, MANIFEST, METRICS, PLOTS
from pipeline.stage import run_stage, track
from similarity.dataset.manifest import read_manifest
from similarity.errors import UserError
from similarity.files import Outputs, write_metrics, write_table
from similarity.index.approximate import approximate_neighbors, recall, smallest_search_k, sure_recall
from similarity.index.backends import AnnIndex, AnnoyForest, FaissGraph, SearchSettings, save_settings
from similarity.index.inverted_index import read_inverted_index, write_inverted_index
from similarity.params import AnnParams, Params

TARGET_QUERIES = 5000
MANY_CANDIDATES = 0.1  # share of the images; above it, an approximate search is hardly faster than an exact one
FEW_IMAGES = 10_000  # with which any search is fast
SWEEP_QUERIES = 2000
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300, 1000)  # of top_k + 1, the smallest search_k that makes sense


def main(params: Params, outputs: Outputs) -> None:
    keys, embeddings = read_manifest(MANIFEST).keys, np.load(EMBEDDINGS)
    top_k, search_k, seed = params.neighbors.top_k, params.ann.search_k, params.base.seed
    exact = _exact_cosines((len(keys), min(top_k, len(keys) - 1)))
    index = _build(embeddings, params.ann, seed)
    measured = np.arange(len(keys))
    if params.ann.target_recall is not None:
        sample, measured = _divide(len(keys), seed)
        search_k = _reach(params.ann, index, embeddings, sample, exact)
    index.save(outputs.file(ANN_INDEX))
    save_settings(SearchSettings(index.backend, search_k), outputs.file(ANN_SETTINGS))
    found, cosines = approximate_neighbors(
        index, embeddings, np.arange(len(keys)), top_k, search_k, lambda rows: track(rows, "ann")
    )
    write_inverted_index(
        outputs.file(ANN_INDEX.with_name("ann-inverted-index.json")), keys, zip(found, cosines, strict=True)
    )
    recall_at_k = recall(cosines[measured], exact[measured])
    candidates = search_k or index.default_search_k(top_k + 1)
    write_metrics(
        outputs.file(METRICS / "ann.json"),
        {"recall_at_k": recall_at_k, "k": exact.shape[1], "search_k": candidates},
    )
    sample = np.sort(np.random.default_rng(seed).permutation(len(keys))[:SWEEP_QUERIES])
    rows = _sweep(index, embeddings, sample, exact, top_k)
    write_table(outputs.file(PLOTS / "ann_recall.csv"), ("search_k", "recall"), rows)
    print(f"ann: recall@{top_k} {recall_at_k:.4f} with {params.ann.backend}, search_k {candidates}")


def _divide(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws the queries that choose search_k; the others, at least half of all, measure the recall that is reported."""
    order = np.random.default_rng([seed, 1]).permutation(count)
    chosen = min(TARGET_QUERIES, count // 2)
    return np.sort(order[:chosen]), np.sort(order[chosen:])


def _reach(params: AnnParams, index: AnnIndex, embeddings: np.ndarray, sample: np.ndarray, exact: np.ndarray) -> int:
    """Finds the smallest search_k that surely has the target's recall, going by a sample.

    `exact` is of all images, float64 (n, k).
    """
    assert params.target_recall is not None

    def recall_with(search_k: int) -> float:
        label = f"ann: search_k {search_k}"
        found = approximate_neighbors(
            index, embeddings, sample, exact.shape[1], search_k, lambda rows: track(rows, label, unit=" queries")
        )
        return sure_recall(found[1], exact[sample])

    grow = "ann.trees" if params.backend == "annoy" else "ann.links"
    search_k = smallest_search_k(recall_with, params.target_recall, highest=len(embeddings))
    if search_k is None:
        raise UserError(
            f"ann.target_recall in params.yaml: {params.target_recall:g} is not reached: recall is surely above "
            f"{recall_with(len(embeddings)):.4f} only, with as many candidates as images ({len(embeddings)}); "
            f"lower it, or change {grow} (now {getattr(params, grow.removeprefix('ann.'))})"
        )
    if search_k > MANY_CANDIDATES * len(embeddings) and len(embeddings) > FEW_IMAGES:
        print(f"ann: {search_k} candidates of {len(embeddings)} are many; raise {grow} to need fewer")
    return search_k


def _build(embeddings: np.ndarray, params: AnnParams, seed: int) -> AnnIndex:
    if params.backend == "annoy":
        return AnnoyForest.build(embeddings, params.trees, seed)
    return FaissGraph.build(embeddings, params.links, seed)


def _exact_cosines(shape: tuple[int, ...]) -> np.ndarray:
    """The true neighbors' cosines, float64 (n, k), from the inverted index."""
    cosines = np.full(shape, np.nan)
    for row, (_, neighbors) in enumerate(read_inverted_index(INVERTED_INDEX)):
        cosines[row] = [cosine for _, cosine in neighbors]
    if np.isnan(cosines).any():
        raise UserError(f"{INVERTED_INDEX} is of fewer images than {MANIFEST}: run `dvc repro`")
    return cosines


def _sweep(
    index: AnnIndex, embeddings: np.ndarray, sample: np.ndarray, exact: np.ndarray, top_k: int
) -> Iterator[tuple[int, str]]:
    """Gives pairs of search_k and the recall of some queries, rows of `exact`, float64 (n, k), by their numbers."""
    for multiple in track(SWEEP_MULTIPLES, "ann: sweep of search_k", unit=" values"):
        search_k = multiple * (top_k + 1)
        _, cosines = approximate_neighbors(index, embeddings, sample, top_k, search_k)
        yield search_k, f"{recall(cosines, exact[sample]):.6f}"


if __name__ == "__main__":
    run_stage(main)
