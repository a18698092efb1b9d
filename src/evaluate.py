"""Stage `evaluate`: measure the model on images that nothing was learned from, in figures and pictures."""

from pipeline.inputs import load_edits, load_rows
from pipeline.stage import run_stage, track

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from similarity import layout
from similarity.data.confidence import mean_interval
from similarity.data.dataset.duplicates import linked_to, read_duplicates
from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.files import Outputs, write_metrics, write_table
from similarity.data.images.edits import EDITS
from similarity.data.images.previews import Previews
from similarity.data.images.sheets import draw_sheet, tile_of
from similarity.embedding.embedder import load_embedding_model
from similarity.embedding.model import EmbeddingModel, predict_classes
from similarity.evaluation import retrieval
from similarity.params import Params

QUERY_ROWS = 10
HEADLINES = ("p_at_10", "map_at_r")
CLASS_COLUMNS = ("class", "queries", *retrieval.SCORES, "p_at_10_low", "p_at_10_high")


class Measured(NamedTuple):
    """Queries, as rows of the manifest, int64 (n,), whether the classifier is right, bool (n,), and what was found."""

    queries: np.ndarray
    correct: np.ndarray
    found: retrieval.Retrieval


def main(params: Params, outputs: Outputs) -> None:
    manifest, model = read_manifest(layout.MANIFEST), load_embedding_model(layout.EMBEDDER)
    embeddings = np.asarray(load_rows(layout.EMBEDDINGS, manifest))
    features = load_rows(layout.FEATURES, manifest, len(model.head.kernel))
    # Without classes, all images count as one class: what is found can be drawn, the scores mean nothing.
    labels = manifest.labels if manifest.can_teach else np.zeros_like(manifest.labels)
    splits = read_splits(layout.SPLITS, manifest)
    if manifest.can_teach:
        splits = {name: manifest.labeled(rows) for name, rows in splits.items()}

    def measure(split: str) -> Measured:
        """Classify images of a split, and retrieve images of their classes from the training images."""
        rows, seed = splits[split], params.base.seed
        queries = retrieval.sample_queries(rows, labels[rows], retrieval.MAX_QUERIES, seed)
        progress = partial(track, label=f"evaluate: {split}", unit=" blocks")
        found = retrieval.evaluate_retrieval(embeddings, labels, queries, splits["train"], progress=progress)
        return Measured(queries, predict_classes(features[queries], model.head) == labels[queries], found)

    valid, test = measure("valid"), measure("test")
    scores = summarize(manifest, splits["train"], valid, test) if manifest.can_teach else {}
    likeness = measure_likeness(manifest, embeddings, model)
    headlines = {name: scores[name] for name in HEADLINES if scores}
    write_metrics(outputs.file(layout.METRICS / "retrieval.json"), headlines)
    write_metrics(outputs.file(layout.METRICS / "likeness.json"), {"same_image_at_1": likeness["same_image_at_1"]})
    write_metrics(outputs.file(layout.DETAILS / "evaluate.json"), {**scores, "likeness": likeness})
    for path, columns, list_rows in (
        (layout.QUERY_SCORES, layout.QUERY_SCORES_COLUMNS, query_scores),
        (layout.PLOTS / "per_class.csv", CLASS_COLUMNS, class_scores),
        (layout.PLOTS / "confusion.csv", ("actual", "nearest"), nearest_classes),
    ):  # without classes, they are empty
        write_table(outputs.file(path), columns, list_rows(manifest, test) if manifest.can_teach else ())
    write_table(outputs.file(layout.QUERY_NEIGHBORS), layout.QUERY_NEIGHBORS_COLUMNS, query_neighbors(manifest, test))
    folder, sheets = outputs.folder(layout.PLOTS / "queries"), draw_queries(manifest, test, Previews(layout.PREVIEWS))
    for number, sheet in enumerate(track(sheets, "evaluate: draw", QUERY_ROWS), 1):
        sheet.save(folder / f"query_{number:02d}.png")
    shown = ("test_accuracy", "p_at_1", "p_at_10", "same_image_at_1", "same_image_at_10")
    figures = ", ".join(f"{name} {value:.4f}" for name, value in (scores | likeness).items() if name in shown)
    print(f"evaluate: {figures}; queries are drawn in {layout.PLOTS / 'queries'}")


def summarize(manifest: Manifest, gallery: np.ndarray, valid: Measured, test: Measured) -> dict[str, object]:
    """Summarize the scores of the test images and, for choosing parameters, of the validation images."""
    twins = linked_to(gallery, len(manifest.records), *read_duplicates(layout.DUPLICATES, manifest))
    measured = {"test_accuracy": test.correct.astype(float), **test.found.scores}
    return {
        **retrieval.means(measured),
        "queries": len(test.queries),
        "queries_with_near_duplicates": int(twins[test.queries].sum()),
        "intervals": {name: mean_interval(values)._asdict() for name, values in measured.items()},
        "validation": {"accuracy": valid.correct.mean(), **retrieval.means(valid.found.scores)},
    }


def measure_likeness(manifest: Manifest, embeddings: np.ndarray, model: EmbeddingModel) -> dict[str, object]:
    """Find the originals of edited test images among all, by the embedding and by its class part alone."""
    originals, features = load_edits("features", len(model.head.kernel))
    edited, progress = model(features), partial(track, label="evaluate: likeness", unit=" blocks")

    def ranks_by(size: int) -> np.ndarray:
        vectors = edited[:, :size], originals, embeddings[:, :size]
        return retrieval.ranks_of_originals(*vectors, manifest.contents, progress=progress)

    ranks = ranks_by(model.size)
    by_edit = ranks.reshape(-1, len(EDITS))
    return {
        **retrieval.shares_found(ranks),
        "queries": len(by_edit),
        "edits": {name: retrieval.shares_found(by_edit[:, i]) for i, name in enumerate(EDITS)},
        **({"class_part": retrieval.shares_found(ranks_by(model.class_size))} if model.class_size else {}),
    }


def query_scores(manifest: Manifest, test: Measured) -> Iterator[tuple[str, ...]]:
    """List the scores of each query, by which two models can be compared in pairs."""
    scores = np.column_stack([test.correct, *test.found.scores.values()])
    for query, values in zip(test.queries.tolist(), scores.tolist(), strict=True):
        yield manifest.keys[query], *(f"{value:.6f}" for value in values)


def query_neighbors(manifest: Manifest, test: Measured) -> Iterator[tuple[str, str, str]]:
    """List the nearest training images of each query, best first."""
    for query, nearest, cosines in zip(test.queries.tolist(), test.found.nearest, test.found.cosines, strict=True):
        for row, cosine in zip(nearest.tolist(), cosines.tolist(), strict=True):
            yield manifest.keys[query], manifest.keys[row], f"{cosine:.6f}"


def class_scores(manifest: Manifest, test: Measured) -> Iterator[tuple[object, ...]]:
    """List the mean scores of each class that has queries, with the interval of its P@10."""
    labels, scores = manifest.labels[test.queries], test.found.scores
    for label in np.unique(labels).tolist():  # a source may give splits without test images of a class
        chosen = {name: values[labels == label] for name, values in scores.items()}
        figures = [*retrieval.means(chosen).values(), *mean_interval(chosen["p_at_10"])]
        yield manifest.classes[label], int((labels == label).sum()), *(f"{value:.6f}" for value in figures)


def nearest_classes(manifest: Manifest, test: Measured) -> Iterator[tuple[str, str]]:
    """List the class of each query and that of the training image nearest to it."""
    for query, nearest in zip(test.queries, test.found.nearest[:, 0], strict=True):
        yield manifest.records[query].label, manifest.records[nearest].label


def draw_queries(manifest: Manifest, test: Measured, previews: Previews) -> Iterator[Image.Image]:
    """Draw some test images, the same ones for every model, each with its neighbors."""
    chosen = np.unique(np.linspace(0, len(test.queries) - 1, QUERY_ROWS + 2).round().astype(int)[1:-1])
    for i in chosen.tolist():
        row = int(test.queries[i])
        label = manifest.records[row].label if manifest.can_teach else None
        found = zip(test.found.nearest[i].tolist(), test.found.cosines[i].tolist(), strict=True)
        tiles = [tile_of(previews[row], manifest.keys[row], "query", None)]
        tiles += [tile_of(previews[each], manifest.keys[each], f"{cosine:.3f}", label) for each, cosine in found]
        yield draw_sheet([tiles])


if __name__ == "__main__":
    run_stage(main)
