"""Stage `evaluate`: what the model is worth on images that nothing was learned from, in figures and pictures."""

from pipeline.inputs import check_rows, load_rows, load_variants
from pipeline.stage import run_stage, track

from functools import partial
from typing import NamedTuple

import numpy as np

from similarity.confidence import mean_interval
from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.duplication.pairs import linked_to, read_duplicates
from similarity.embedding.embedder import load_embedding_model
from similarity.embedding.head import predict_classes
from similarity.evaluation.likeness import ranks_of_originals, shares_found
from similarity.evaluation.retrieval import MAX_QUERIES, Evaluation, evaluate_retrieval, mean_scores, sample_queries
from similarity.files import Outputs, write_metrics, write_table
from similarity.images.changes import CHANGES
from similarity.images.previews import Previews
from similarity.layout import (
    DETAILS,
    DUPLICATES,
    EDITS,
    EMBEDDER,
    EMBEDDINGS,
    FEATURES,
    MANIFEST,
    METRICS,
    PLOTS,
    PREVIEWS,
    QUERY_SCORES,
    QUERY_SCORES_COLUMNS,
    SPLITS,
)
from similarity.params import Params
from similarity.pictures.sheets import draw_sheet, tile_of

QUERY_ROWS = 10
HEADLINES = ("p_at_10", "map_at_r")


class Measured(NamedTuple):
    """The queries, rows of the manifest, int64 (n,), and what was measured of each."""

    queries: np.ndarray
    correct: np.ndarray  # whether the classifier is right, bool (n,)
    evaluation: Evaluation


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    splits, embeddings = read_splits(SPLITS, manifest), np.asarray(load_rows(EMBEDDINGS, manifest))
    check_rows(PREVIEWS, len(Previews(PREVIEWS)), manifest)
    if manifest.can_teach:
        splits = {split: manifest.labeled(rows) for split, rows in splits.items()}
    valid, test = (_measure(manifest, splits, split, embeddings, params) for split in ("valid", "test"))
    figures = _figures(manifest, splits["train"], valid, test) if manifest.can_teach else {}
    write_metrics(outputs.file(METRICS / "retrieval.json"), {name: figures[name] for name in HEADLINES if figures})
    likeness = _likeness(manifest, embeddings)
    write_metrics(outputs.file(METRICS / "likeness.json"), {"same_image_at_1": likeness["same_image_at_1"]})
    write_metrics(outputs.file(DETAILS / "evaluate.json"), figures | {"likeness": likeness})
    _write_scores(manifest, test, outputs)
    _write_classes(manifest, test, outputs)
    _draw_queries(manifest, test, QUERY_ROWS, outputs)
    shown = {name: figures[name] for name in ("test_accuracy", "p_at_1", "p_at_10") if figures} | likeness
    told = ", ".join(f"{name} {value:.4f}" for name, value in shown.items() if isinstance(value, float))
    print(f"evaluate: {told}; queries are drawn in {PLOTS / 'queries'}")


def _measure(
    manifest: Manifest, splits: dict[str, np.ndarray], split: str, embeddings: np.ndarray, params: Params
) -> Measured:
    """Classifies images of a split, and looks for images of their classes among the training images.

    Without classes, only what is found means anything, not how well.
    """
    labels = manifest.labels if manifest.can_teach else np.zeros_like(manifest.labels)
    rows = splits[split]
    queries = sample_queries(rows, labels[rows], MAX_QUERIES, params.base.seed)
    head = load_embedding_model(EMBEDDER).head
    predicted = predict_classes(load_rows(FEATURES, manifest, len(head.kernel))[queries], head)
    evaluation = evaluate_retrieval(
        embeddings, labels, queries, splits["train"], lambda blocks: track(blocks, f"evaluate: {split}", unit=" blocks")
    )
    return Measured(queries, predicted == labels[queries], evaluation)


def _figures(manifest: Manifest, gallery: np.ndarray, valid: Measured, test: Measured) -> dict[str, object]:
    """What the metrics file holds: of the test images and, for choosing parameters, of the validation images."""
    twins = linked_to(gallery, len(manifest.records), *read_duplicates(DUPLICATES, manifest))
    measured = {"test_accuracy": test.correct.astype(float), **test.evaluation.scores._asdict()}
    return {
        **{name: values.mean() for name, values in measured.items()},
        "queries": len(test.queries),
        "queries_with_near_duplicates": int(twins[test.queries].sum()),
        "intervals": {name: mean_interval(values)._asdict() for name, values in measured.items()},
        "validation": {"accuracy": valid.correct.mean(), **mean_scores(valid.evaluation.scores)},
    }


def _likeness(manifest: Manifest, embeddings: np.ndarray) -> dict[str, object]:
    """Looks for the originals of changed test images among all: by the embedding, and by its class part alone."""
    model = load_embedding_model(EMBEDDER)
    originals, features = load_variants(EDITS, "features", manifest, len(model.head.kernel))
    changed = model(features)

    def ranks_by(part: slice) -> np.ndarray:
        progress = partial(track, label="evaluate: likeness", unit=" blocks")
        vectors = changed[:, part], originals, embeddings[:, part]
        return ranks_of_originals(*vectors, np.asarray, manifest.contents, progress)

    ranks = ranks_by(slice(None))
    by_change = ranks.reshape(-1, len(CHANGES))
    return {
        **shares_found(ranks),
        "queries": len(by_change),
        "changes": {name: shares_found(by_change[:, i]) for i, name in enumerate(CHANGES)},
        **({"class_part": shares_found(ranks_by(slice(model.class_size)))} if model.class_size else {}),
    }


def _write_scores(manifest: Manifest, test: Measured, outputs: Outputs) -> None:
    """Writes what was measured of each query, by which two models can be compared in pairs."""
    columns = (test.correct.astype(float), *test.evaluation.scores)
    rows = (
        (manifest.keys[query], *(f"{value:.6f}" for value in values))
        for query, *values in zip(test.queries.tolist(), *columns, strict=True)
        if manifest.can_teach
    )
    write_table(outputs.file(QUERY_SCORES), QUERY_SCORES_COLUMNS, rows)


def _write_classes(manifest: Manifest, test: Measured, outputs: Outputs) -> None:
    """Writes the table of the classes, with the interval of each one's P@10, and which class is taken for which."""
    labels, scores, rows = manifest.labels[test.queries], test.evaluation.scores, []
    classes = manifest.classes if manifest.can_teach else []
    for label, name in enumerate(classes):
        chosen = labels == label
        if not chosen.any():  # as where the source gives splits
            continue
        figures = [*(values[chosen].mean() for values in scores), *mean_interval(scores.p_at_10[chosen])]
        rows.append((name, int(chosen.sum()), *(f"{value:.6f}" for value in figures)))
    columns = ("class", "queries", *scores._fields, "p_at_10_low", "p_at_10_high")
    write_table(outputs.file(PLOTS / "per_class.csv"), columns, rows)
    nearest = manifest.labels[test.evaluation.nearest[:, 0]]
    pairs = ((classes[actual], classes[found]) for actual, found in zip(labels, nearest, strict=True) if classes)
    write_table(outputs.file(PLOTS / "confusion.csv"), ("actual", "nearest"), pairs)


def _draw_queries(manifest: Manifest, test: Measured, count: int, outputs: Outputs) -> None:
    """Draws some test images, the same ones for every model, each with its neighbors."""
    folder, previews = outputs.folder(PLOTS / "queries"), Previews(PREVIEWS)
    chosen = np.unique(np.linspace(0, len(test.queries) - 1, count + 2).round().astype(int)[1:-1])
    for number, i in enumerate(track(chosen.tolist(), "evaluate: draw", unit=" rows"), start=1):
        query = manifest.records[test.queries[i]]
        label = query.label if manifest.can_teach else None
        found = zip(test.evaluation.nearest[i].tolist(), test.evaluation.cosines[i].tolist(), strict=True)
        tiles = [tile_of(previews[int(test.queries[i])], query.path, "query", None)]
        tiles += [tile_of(previews[row], manifest.keys[row], f"{cosine:.3f}", label) for row, cosine in found]
        draw_sheet([tiles]).save(folder / f"query_{number:02d}.png")


if __name__ == "__main__":
    run_stage(main)
