"""Stage `ann`: builds the approximate index and measures it against the exact neighbors."""

from collections.abc import Iterator

import numpy as np
from annoy import AnnoyIndex

from similarity.ann import approximate_neighbors, build_index, recall
from similarity.files import replaced_file, write_metrics, write_table
from similarity.inverted_index import read_inverted_index, write_inverted_index
from similarity.manifest import read_manifest
from similarity.neighbors import count_zero_rows
from similarity.params import Params
from stage import ANN_INDEX, EMBEDDINGS, INVERTED_INDEX, MANIFEST, METRICS, PLOTS, run, track

SWEEP_QUERIES = 2000
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300)  # of top_k + 1, the smallest search_k that makes sense


def main(params: Params) -> None:
    keys, embeddings = read_manifest(MANIFEST).keys, np.load(EMBEDDINGS)
    top_k, search_k = params.neighbors.top_k, params.ann.search_k
    index = build_index(embeddings, params.ann.trees, params.base.seed)
    with replaced_file(ANN_INDEX) as path:
        index.save(str(path))
    everything = approximate_neighbors(index, embeddings, np.arange(len(keys)), top_k, search_k)
    neighbors = list(track(everything, "ann", len(keys)))
    write_inverted_index(ANN_INDEX.with_name("ann-inverted-index.json"), keys, neighbors)
    exact = np.array([[cosine for _, cosine in found] for _, found in read_inverted_index(INVERTED_INDEX)])
    recall_at_k = recall(np.array([cosines for _, cosines in neighbors]), exact)
    write_metrics(
        METRICS / "ann.json", {f"recall_at_{top_k}": recall_at_k, "zero_vectors": count_zero_rows(embeddings)}
    )
    sample = np.sort(np.random.default_rng(params.base.seed).permutation(len(keys))[:SWEEP_QUERIES])
    write_table(PLOTS / "ann_recall.csv", ("search_k", "recall"), _sweep(index, embeddings, sample, exact, top_k))
    print(f"ann: recall@{top_k} {recall_at_k:.4f} with {params.ann.trees} trees, search_k {search_k or 'default'}")


def _sweep(
    index: AnnoyIndex, embeddings: np.ndarray, sample: np.ndarray, exact: np.ndarray, top_k: int
) -> Iterator[tuple[int, str]]:
    """Gives pairs of search_k and the recall of some queries, rows of `exact`, float64 (n, k), by their numbers."""
    for multiple in track(SWEEP_MULTIPLES, "ann: sweep of search_k", unit=" values"):
        search_k = multiple * (top_k + 1)
        found = approximate_neighbors(index, embeddings, sample, top_k, search_k)
        yield search_k, f"{recall(np.array([cosines for _, cosines in found]), exact[sample]):.6f}"


if __name__ == "__main__":
    run(main)
