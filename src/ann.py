"""Stage `ann`: builds the approximate index and measures it against the exact neighbors."""

from collections.abc import Iterator

import numpy as np

from similarity.ann import approximate_neighbors, recall
from similarity.ann_indexes import AnnIndex, AnnoyForest, FaissGraph
from similarity.errors import UserError
from similarity.files import replaced_file, write_metrics, write_table
from similarity.inverted_index import read_inverted_index, write_inverted_index
from similarity.manifest import read_manifest
from similarity.neighbors import count_zero_rows
from similarity.params import AnnParams, Params
from stage import ANN_INDEX, EMBEDDINGS, INVERTED_INDEX, MANIFEST, METRICS, PLOTS, run, track

SWEEP_QUERIES = 2000
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300)  # of top_k + 1, the smallest search_k that makes sense


def main(params: Params) -> None:
    keys, embeddings = read_manifest(MANIFEST).keys, np.load(EMBEDDINGS)
    top_k, search_k, seed = params.neighbors.top_k, params.ann.search_k, params.base.seed
    index = _build(embeddings, params.ann, seed)
    with replaced_file(ANN_INDEX) as path:
        index.save(path)
    found, cosines = approximate_neighbors(
        index, embeddings, np.arange(len(keys)), top_k, search_k, lambda rows: track(rows, "ann")
    )
    write_inverted_index(ANN_INDEX.with_name("ann-inverted-index.json"), keys, zip(found, cosines, strict=True))
    exact = _exact_cosines(cosines.shape)
    recall_at_k = recall(cosines, exact)
    write_metrics(
        METRICS / "ann.json", {f"recall_at_{top_k}": recall_at_k, "zero_vectors": count_zero_rows(embeddings)}
    )
    sample = np.sort(np.random.default_rng(seed).permutation(len(keys))[:SWEEP_QUERIES])
    write_table(PLOTS / "ann_recall.csv", ("search_k", "recall"), _sweep(index, embeddings, sample, exact, top_k))
    print(f"ann: recall@{top_k} {recall_at_k:.4f} with {params.ann.backend}, search_k {search_k or 'default'}")


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
    run(main)
