"""Stage `evaluate`: retrieval of training images by test images, in figures and pictures."""

import numpy as np

from pipeline.paths import EMBEDDINGS, IMAGES, MANIFEST, METRICS, NEAR_DUPLICATES, PLOTS, SPLITS
from pipeline.stage import run, track
from similarity.dataset.manifest import NEAR_DUPLICATE_COLUMNS, Manifest, read_manifest, read_splits
from similarity.errors import UserError
from similarity.evaluation.intervals import mean_interval
from similarity.evaluation.retrieval import (
    Evaluation,
    Scores,
    evaluate_retrieval,
    mean_scores,
    sample_queries,
    summarize,
)
from similarity.files import read_table, replaced_folder, write_metrics, write_table
from similarity.params import Params
from similarity.pictures.sheets import draw_sheet, tile_of


def main(params: Params) -> None:
    manifest, embeddings = read_manifest(MANIFEST), np.load(EMBEDDINGS)
    splits = read_splits(SPLITS, manifest)
    labels, classes = manifest.labels, manifest.classes
    queries = sample_queries(splits["test"], labels[splits["test"]], params.evaluate.max_queries, params.base.seed)
    evaluation = evaluate_retrieval(
        embeddings, labels, queries, splits["train"], lambda blocks: track(blocks, "evaluate", unit=" blocks")
    )
    figures = summarize(evaluation.scores, labels[queries], classes)
    intervals = {
        name: mean_interval(values, params.base.seed)._asdict() for name, values in evaluation.scores._asdict().items()
    }
    apart = _apart(evaluation.scores, _correlations(manifest, queries) >= params.evaluate.near_duplicate)
    write_metrics(METRICS / "retrieval.json", {"queries": len(queries), **figures, "intervals": intervals, **apart})
    _write_classes(evaluation.scores, labels[queries], classes, params.base.seed)
    found = labels[evaluation.nearest[:, 0]]
    confusion = ((classes[actual], classes[nearest]) for actual, nearest in zip(labels[queries], found, strict=True))
    write_table(PLOTS / "confusion.csv", ("actual", "nearest"), confusion)
    _draw_queries(manifest, queries, evaluation, params.evaluate.query_rows)
    print("evaluate: " + ", ".join(f"{name} {figures[name]:.4f}" for name in evaluation.scores._fields))


def _correlations(manifest: Manifest, queries: np.ndarray) -> np.ndarray:
    """How alike each query's most alike training image is to it, pixel by pixel, float64 (n,)."""
    rows = list(read_table(NEAR_DUPLICATES, NEAR_DUPLICATE_COLUMNS))
    if [key for key, _, _ in rows] != [manifest.keys[query] for query in queries]:
        raise UserError(f"{NEAR_DUPLICATES} is not of the same test images: run `dvc repro`")
    return np.array([float(value) for _, _, value in rows])


def _apart(scores: Scores, doubled: np.ndarray) -> dict[str, dict[str, float]]:
    """The means over the queries with a near duplicate in the gallery, bool (n,), and over those without."""
    parts = {"near_duplicates": doubled, "without_near_duplicates": ~doubled}
    return {
        name: {"queries": int(chosen.sum()), **(mean_scores(scores, chosen) if chosen.any() else {})}
        for name, chosen in parts.items()
    }


def _write_classes(scores: Scores, labels: np.ndarray, classes: list[str], seed: int) -> None:
    """Writes the table of the classes, with the interval of each one's P@10."""
    rows = []
    for label, name in enumerate(classes):
        chosen = labels == label
        figures = [*mean_scores(scores, chosen).values(), *mean_interval(scores.p_at_10[chosen], seed)]
        rows.append((name, int(chosen.sum()), *(f"{value:.6f}" for value in figures)))
    write_table(PLOTS / "per_class.csv", ("class", "queries", *scores._fields, "p_at_10_low", "p_at_10_high"), rows)


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
