"""Stage `evaluate`: retrieval of training images by test images, in figures and pictures."""

import numpy as np

from similarity.files import replaced_folder, write_metrics, write_table
from similarity.manifest import Manifest, read_manifest, read_splits
from similarity.params import Params
from similarity.pictures import draw_sheet, tile_of
from similarity.retrieval import Evaluation, evaluate_retrieval, sample_queries, summarize
from stage import EMBEDDINGS, IMAGES, MANIFEST, METRICS, PLOTS, SPLITS, run, track


def main(params: Params) -> None:
    manifest, embeddings = read_manifest(MANIFEST), np.load(EMBEDDINGS)
    splits = read_splits(SPLITS, manifest)
    labels, classes = manifest.labels, manifest.classes
    queries = sample_queries(splits["test"], labels[splits["test"]], params.evaluate.max_queries, params.base.seed)
    evaluation = evaluate_retrieval(
        embeddings, labels, queries, splits["train"], lambda blocks: track(blocks, "evaluate", unit=" blocks")
    )
    figures = summarize(evaluation.scores, labels[queries], classes)
    write_metrics(METRICS / "retrieval.json", {"queries": len(queries), **figures})
    per_class = (
        (name, *(f"{value:.6f}" for value in scores.values())) for name, scores in figures["per_class"].items()
    )
    write_table(PLOTS / "per_class.csv", ("class", *evaluation.scores._fields), per_class)
    found = labels[evaluation.nearest[:, 0]]
    confusion = ((classes[actual], classes[nearest]) for actual, nearest in zip(labels[queries], found, strict=True))
    write_table(PLOTS / "confusion.csv", ("actual", "nearest"), confusion)
    _draw_queries(manifest, queries, evaluation, params.evaluate.query_rows)
    print("evaluate: " + ", ".join(f"{name} {figures[name]:.4f}" for name in evaluation.scores._fields))


def _draw_queries(manifest: Manifest, queries: np.ndarray, evaluation: Evaluation, count: int) -> None:
    """Draws some test images, the same ones for every model, each with its neighbors."""
    chosen = np.unique(np.linspace(0, len(queries) - 1, count + 2).round().astype(int)[1:-1])
    rows = [
        [tile_of(IMAGES, manifest.keys[queries[i]], "query", None)]
        + [
            tile_of(IMAGES, manifest.keys[row], f"{cosine:.3f}", manifest.records[queries[i]].label)
            for row, cosine in zip(evaluation.nearest[i], evaluation.cosines[i], strict=True)
        ]
        for i in chosen
    ]
    with replaced_folder(PLOTS / "queries") as folder:
        for number, row in enumerate(track(rows, "draw", unit=" rows"), start=1):
            draw_sheet([row]).save(folder / f"query_{number:02d}.png")


if __name__ == "__main__":
    run(main)
