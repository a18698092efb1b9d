"""Stage `evaluate`: measure the model on images that nothing was learned from, in figures and pictures."""

from pipeline.inputs import check_rows, load_edits, load_rows
from pipeline.stage import run_stage, track

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from similarity.confidence import mean_interval
from similarity.dataset.duplicates import linked_to, read_duplicates
from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.embedding.embedder import load_embedding_model
from similarity.embedding.head import predict_classes
from similarity.embedding.model import EmbeddingModel
from similarity.evaluation.likeness import ranks_of_originals, shares_found
from similarity.evaluation.retrieval import MAX_QUERIES, Evaluation, evaluate_retrieval, mean_scores, sample_queries
from similarity.files import Outputs, write_metrics, write_table
from similarity.images.edits import EDITS
from similarity.images.previews import Previews
from similarity.layout import (
    DETAILS,
    DUPLICATES,
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
CLASS_COLUMNS = ("class", "queries", "p_at_1", "p_at_10", "map_at_r", "p_at_10_low", "p_at_10_high")


class Measured(NamedTuple):
    """Queries and what was measured of each.

    Attributes:
        queries: rows of the manifest, int64 (n,).
        correct: whether the classifier is right, bool (n,).
        evaluation: of the retrieval of training images.
    """

    queries: np.ndarray
    correct: np.ndarray
    evaluation: Evaluation


def main(params: Params, outputs: Outputs) -> None:
    manifest, model, previews = read_manifest(MANIFEST), load_embedding_model(EMBEDDER), Previews(PREVIEWS)
    embeddings, features = np.asarray(load_rows(EMBEDDINGS, manifest)), load_rows(FEATURES, manifest)
    check_rows(PREVIEWS, len(previews), manifest)
    splits = read_splits(SPLITS, manifest)
    if manifest.can_teach:
        splits = {name: manifest.labeled(rows) for name, rows in splits.items()}
    valid, test = (
        measure(manifest, splits, name, embeddings, features, model, params.base.seed) for name in ("valid", "test")
    )
    retrieval = summarize(manifest, splits["train"], valid, test) if manifest.can_teach else {}
    likeness = measure_likeness(manifest, embeddings, model)
    write_metrics(outputs.file(METRICS / "retrieval.json"), {name: retrieval[name] for name in HEADLINES if retrieval})
    write_metrics(outputs.file(METRICS / "likeness.json"), {"same_image_at_1": likeness["same_image_at_1"]})
    write_metrics(outputs.file(DETAILS / "evaluate.json"), {**retrieval, "likeness": likeness})
    for path, columns, list_rows in (
        (QUERY_SCORES, QUERY_SCORES_COLUMNS, query_scores),
        (PLOTS / "per_class.csv", CLASS_COLUMNS, class_scores),
        (PLOTS / "confusion.csv", ("actual", "nearest"), nearest_classes),
    ):  # without classes, they are empty
        write_table(outputs.file(path), columns, list_rows(manifest, test) if manifest.can_teach else ())
    folder = outputs.folder(PLOTS / "queries")
    for number, sheet in enumerate(track(draw_queries(manifest, test, previews), "evaluate: draw", QUERY_ROWS), 1):
        sheet.save(folder / f"query_{number:02d}.png")
    shown = [(name, retrieval[name]) for name in ("test_accuracy", "p_at_1", "p_at_10") if retrieval]
    shown += [(name, likeness[name]) for name in ("same_image_at_1", "same_image_at_10")]
    figures = ", ".join(f"{name} {value:.4f}" for name, value in shown)
    print(f"evaluate: {figures}; queries are drawn in {PLOTS / 'queries'}")


def measure(
    manifest: Manifest,
    splits: dict[str, np.ndarray],
    split: str,
    embeddings: np.ndarray,
    features: np.ndarray,
    model: EmbeddingModel,
    seed: int,
) -> Measured:
    """Classify images of a split, and retrieve images of their classes from the training images.

    Without classes, all images count as one class: what is found can be drawn, the scores mean nothing.
    """
    labels = manifest.labels if manifest.can_teach else np.zeros_like(manifest.labels)
    queries = sample_queries(splits[split], labels[splits[split]], MAX_QUERIES, seed)
    progress = partial(track, label=f"evaluate: {split}", unit=" blocks")
    evaluation = evaluate_retrieval(embeddings, labels, queries, splits["train"], progress=progress)
    return Measured(queries, predict_classes(features[queries], model.head) == labels[queries], evaluation)


def summarize(manifest: Manifest, gallery: np.ndarray, valid: Measured, test: Measured) -> dict[str, object]:
    """Summarize the scores of the test images and, for choosing parameters, of the validation images."""
    twins = linked_to(gallery, len(manifest.records), *read_duplicates(DUPLICATES, manifest))
    measured = {"test_accuracy": test.correct.astype(float), **test.evaluation.scores._asdict()}
    return {
        **{name: values.mean() for name, values in measured.items()},
        "queries": len(test.queries),
        "queries_with_near_duplicates": int(twins[test.queries].sum()),
        "intervals": {name: mean_interval(values)._asdict() for name, values in measured.items()},
        "validation": {"accuracy": valid.correct.mean(), **mean_scores(valid.evaluation.scores)},
    }


def measure_likeness(manifest: Manifest, embeddings: np.ndarray, model: EmbeddingModel) -> dict[str, object]:
    """Find the originals of edited test images among all, by the embedding and by its class part alone."""
    originals, features = load_edits("features", manifest, len(model.head.kernel))
    edited, progress = model(features), partial(track, label="evaluate: likeness", unit=" blocks")

    def ranks_by(part: slice) -> np.ndarray:
        vectors = edited[:, part], originals, embeddings[:, part]
        return ranks_of_originals(*vectors, manifest.contents, progress=progress)

    ranks = ranks_by(slice(None))
    by_edit = ranks.reshape(-1, len(EDITS))
    return {
        **shares_found(ranks),
        "queries": len(by_edit),
        "edits": {name: shares_found(by_edit[:, i]) for i, name in enumerate(EDITS)},
        **({"class_part": shares_found(ranks_by(slice(model.class_size)))} if model.class_size else {}),
    }


def query_scores(manifest: Manifest, test: Measured) -> Iterator[tuple[str, ...]]:
    """List the scores of each query, by which two models can be compared in pairs."""
    scores = np.column_stack([test.correct, *test.evaluation.scores])
    for query, values in zip(test.queries.tolist(), scores.tolist(), strict=True):
        yield manifest.keys[query], *(f"{value:.6f}" for value in values)


def class_scores(manifest: Manifest, test: Measured) -> Iterator[tuple[object, ...]]:
    """List the mean scores of each class that has queries, with the interval of its P@10."""
    labels, scores = manifest.labels[test.queries], test.evaluation.scores
    for label in np.unique(labels).tolist():  # a source may give splits without test images of a class
        chosen = labels == label
        figures = [*(values[chosen].mean() for values in scores), *mean_interval(scores.p_at_10[chosen])]
        yield manifest.classes[label], int(chosen.sum()), *(f"{value:.6f}" for value in figures)


def nearest_classes(manifest: Manifest, test: Measured) -> Iterator[tuple[str, str]]:
    """List the class of each query and that of the training image nearest to it."""
    for query, nearest in zip(test.queries, test.evaluation.nearest[:, 0], strict=True):
        yield manifest.records[query].label, manifest.records[nearest].label


def draw_queries(manifest: Manifest, test: Measured, previews: Previews) -> Iterator[Image.Image]:
    """Draw some test images, the same ones for every model, each with its neighbors."""
    chosen = np.unique(np.linspace(0, len(test.queries) - 1, QUERY_ROWS + 2).round().astype(int)[1:-1])
    for i in chosen.tolist():
        row = int(test.queries[i])
        label = manifest.records[row].label if manifest.can_teach else None
        found = zip(test.evaluation.nearest[i].tolist(), test.evaluation.cosines[i].tolist(), strict=True)
        tiles = [tile_of(previews[row], manifest.keys[row], "query", None)]
        tiles += [tile_of(previews[each], manifest.keys[each], f"{cosine:.3f}", label) for each, cosine in found]
        yield draw_sheet([tiles])


if __name__ == "__main__":
    run_stage(main)
