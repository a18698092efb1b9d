"""Stage `ann`: build the approximate index and measure it against the exact neighbors."""

from pipeline.inputs import load_rows
from pipeline.stage import run_stage, track

from functools import partial

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import read_manifest
from similarity.data.files import Outputs, write_json_entries, write_metrics, write_table
from similarity.data.quiet import held_stderr
from similarity.errors import UserError
from similarity.index import (
    approximate_neighbors,
    build_forest,
    default_search_k,
    read_cosines,
    recall,
    smallest_search_k,
    write_inverted_index,
)
from similarity.params import Params

TARGET_QUERIES = 5000  # that choose search_k, half of all at most; the others measure the recall
SWEEP_QUERIES = 2000
SWEEP_MULTIPLES = (1, 3, 10, 30, 100, 300, 1000)  # of top_k + 1, the smallest search_k that makes sense


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings, seed = read_manifest(layout.MANIFEST), params.ann, params.base.seed
    embeddings = np.asarray(load_rows(layout.EMBEDDINGS, manifest))
    exact = read_cosines(layout.INVERTED_INDEX, manifest.keys, params.neighbors.top_k)
    index, k, rows = build_forest(embeddings, settings.trees, seed), exact.shape[1], np.arange(len(embeddings))

    def search(search_k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        show = partial(track, label=f"ann: search_k {search_k}", unit=" hundreds of queries")
        return approximate_neighbors(index, embeddings, rows, k, search_k, show)

    def sampled_recall(search_k: int, rows: np.ndarray) -> float:
        return recall(search(search_k, rows)[1], exact[rows])

    search_k: int | None = settings.search_k or default_search_k(index, k + 1)
    measured = rows
    if target := settings.target_recall:
        order = np.random.default_rng([seed, 1]).permutation(rows)
        chosen, measured = np.split(order, [min(TARGET_QUERIES, len(rows) // 2)])
        search_k = smallest_search_k(partial(sampled_recall, rows=chosen), target, len(rows))
    if search_k is None:
        raise UserError(
            f"ann.target_recall in params.yaml: {target:g} is not reached with as many candidates as images "
            f"({len(rows)}); lower it, or raise ann.trees (now {settings.trees})"
        )
    found, cosines = search(search_k, rows)
    with held_stderr(shown=False):  # Annoy also prints the errors that it raises
        index.save(str(outputs.file(layout.ANN_INDEX)))
    write_json_entries(outputs.file(layout.ANN_SETTINGS), [("search_k", search_k)])
    write_inverted_index(outputs.file(layout.ANN_INVERTED_INDEX), manifest.keys, zip(found, cosines, strict=True))
    figures = {"recall_at_k": recall(cosines[measured], exact[measured])}
    write_metrics(outputs.file(layout.METRICS / "ann.json"), figures)
    write_metrics(outputs.file(layout.DETAILS / "ann.json"), {**figures, "k": k, "search_k": search_k})
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:SWEEP_QUERIES])
    sweep = ((each, f"{sampled_recall(each, sample):.6f}") for each in (n * (k + 1) for n in SWEEP_MULTIPLES))
    write_table(outputs.file(layout.PLOTS / "ann_recall.csv"), ("search_k", "recall"), sweep)
    print(f"ann: recall@{k} {figures['recall_at_k']:.4f} with {settings.trees} trees and search_k {search_k}")


if __name__ == "__main__":
    run_stage(main)
