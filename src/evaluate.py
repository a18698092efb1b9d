"""Stage `evaluate`: measure the model on images that nothing was learned from, in figures and pictures."""

from pipeline.inputs import load_edits, load_rows
from pipeline.stage import run_stage, track

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from similarity import layout
from similarity.data.confidence import mean_interval
from similarity.data.dataset.duplicates import bounded_groups, read_duplicates
from similarity.data.dataset.manifest import SPLIT_NAMES, Manifest, read_manifest, read_splits
from similarity.data.features.extractor import tapped_columns
from similarity.data.files import Outputs, write_metrics, write_table
from similarity.data.images.edits import EDITS
from similarity.data.images.pictures import Previews, draw_sheet, tile_of
from similarity.data.vectors import standardization
from similarity.embedding.embedder import load_embedding_model
from similarity.embedding.model import EmbeddingModel, predict_classes
from similarity.embedding.visual_part import fit_visual_part
from similarity.evaluation import retrieval
from similarity.params import Params

QUERY_ROWS = 10
NOVEL_CLASSES_EPOCHS = 20  # three trainings in seconds
NOVEL_CLASSES_ROWS = 2000  # images to learn from, and to search among, for each third of the classes
HEADLINES = ("p_at_10", "map_at_r")
CLASS_COLUMNS = ("class", "queries", *retrieval.SCORES, "p_at_10_low", "p_at_10_high")


class Measured(NamedTuple):
    """What was found for the queries of one split.

    Attributes:
        queries: as rows of the manifest, int64 (n,).
        found: among the training images.
        scores: float64 (n,) each: those of `found`, whether the classifier is right (`correct`), and `unseen_p_at_10`
            and `unseen_map_at_r` among the other images of the split, NaN for a class without another one.
    """

    queries: np.ndarray
    found: retrieval.Retrieval
    scores: dict[str, np.ndarray]


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
        """Classify images of a split, and retrieve images of their classes, from the training images and from it."""
        rows, progress = splits[split], partial(track, label=f"evaluate: {split}", unit=" blocks")
        queries = retrieval.sample_queries(rows, labels[rows], retrieval.MAX_QUERIES, params.base.seed)
        found = retrieval.evaluate_retrieval(embeddings, labels, queries, splits["train"], progress=progress)
        unseen = {name: np.full(len(queries), np.nan) for name in retrieval.SCORES}
        with_others = np.bincount(labels[rows])[labels[queries]] > 1
        if with_others.any():
            others = retrieval.evaluate_retrieval(embeddings, labels, queries[with_others], rows, progress=progress)
            for name, values in others.scores.items():
                unseen[name][with_others] = values
        correct = (predict_classes(features[queries], model.head) == labels[queries]).astype(float)
        scores = {"correct": correct, **found.scores} | {f"unseen_{name}": unseen[name] for name in HEADLINES}
        return Measured(queries, found, scores)

    measured = {split: measure(split) for split in ("valid", "test")}
    test = measured["test"]
    groups = bounded_groups(manifest, *read_duplicates(layout.DUPLICATES, manifest), len(SPLIT_NAMES))
    scores: dict[str, Any] = {}
    if manifest.can_teach:
        scores = {
            **summarize(test, groups),
            "queries_with_near_duplicates": int(np.isin(groups[test.queries], groups[splits["train"]]).sum()),
            "validation": retrieval.means(measured["valid"].scores),
            "novel_classes": measure_novel_classes(features, manifest, splits, params),
        }
    likeness = measure_likeness(manifest, embeddings, model)
    headlines = {name: scores[name] for name in HEADLINES if scores}
    write_metrics(outputs.file(layout.METRICS / "retrieval.json"), headlines)
    write_metrics(outputs.file(layout.METRICS / "likeness.json"), {"same_image_at_1": likeness["same_image_at_1"]})
    write_metrics(outputs.file(layout.DETAILS / "evaluate.json"), {**scores, "likeness": likeness})
    for path, columns, rows in (
        (layout.QUERY_SCORES, layout.QUERY_SCORES_COLUMNS, query_scores(manifest, measured)),
        (layout.PLOTS / "per_class.csv", CLASS_COLUMNS, class_scores(manifest, test, groups)),
        (layout.PLOTS / "confusion.csv", ("actual", "nearest"), nearest_classes(manifest, test)),
    ):  # without classes, they are empty
        write_table(outputs.file(path), columns, rows if manifest.can_teach else ())
    write_table(outputs.file(layout.QUERY_NEIGHBORS), layout.QUERY_NEIGHBORS_COLUMNS, query_neighbors(manifest, test))
    folder, sheets = outputs.folder(layout.PLOTS / "queries"), draw_queries(manifest, test, Previews(layout.PREVIEWS))
    for number, sheet in enumerate(track(sheets, "evaluate: draw", QUERY_ROWS), 1):
        sheet.save(folder / f"query_{number:02d}.png")
    shown = ("test_accuracy", "p_at_10", "map_at_r", "same_image_at_1")
    figures = ", ".join(f"{name} {value:.4f}" for name, value in (scores | likeness).items() if name in shown)
    print(f"evaluate: {figures}; queries are drawn in {layout.PLOTS / 'queries'}")
    if scores and (unseen := scores["unseen"]):  # no class may have two test images
        print(f"evaluate: among images that nothing was learned from, map_at_r is {unseen['map_at_r']:.4f}")


def summarize(measured: Measured, groups: np.ndarray) -> dict[str, Any]:
    """Average the scores of test images, with intervals, for which each image has a group, int64 (N,)."""
    scores = {"test_accuracy" if name == "correct" else name: values for name, values in measured.scores.items()}
    known = {name: ~np.isnan(values) for name, values in scores.items()}
    intervals = {
        name: mean_interval(values[known[name]], groups[measured.queries[known[name]]])._asdict()
        for name, values in scores.items()
        if known[name].any()
    }
    averages = retrieval.means(scores)
    unseen = {name: averages.pop(f"unseen_{name}") for name in HEADLINES if f"unseen_{name}" in averages}
    return {**averages, "unseen": unseen, "queries": len(measured.queries), "intervals": intervals}


def measure_novel_classes(
    features: np.ndarray, manifest: Manifest, splits: dict[str, np.ndarray], params: Params
) -> dict[str, Any]:
    """Hold out each third of the classes in turn, train without them, and search among their images alone.

    It is what to expect of kinds of images that have no label. There is nothing to measure with fewer than four
    classes. The bare features are measured in the same way.
    """
    from similarity.embedding.training import Labeled, train_network

    labels, settings = manifest.labels, params.embedding
    parts = min(3, len(manifest.classes) // 2)
    if parts < 2:
        return {}
    shorter = params.train.model_copy(update={"epochs": min(params.train.epochs, NOVEL_CLASSES_EPOCHS)})
    order = np.random.default_rng(params.base.seed).permutation(len(manifest.classes))
    columns = tapped_columns(layout.BACKBONE, settings.visual_taps if settings.visual_size else [])
    found: dict[str, list[dict[str, np.ndarray]]] = {"model": [], "features": []}
    for part in track(range(parts), "evaluate: novel classes", parts, unit=" trainings"):
        is_novel = np.isin(labels, order[part::parts])
        ranks = np.cumsum(~np.isin(np.arange(len(manifest.classes)), order[part::parts])) - 1  # of the other classes

        def known(split: str, is_novel: np.ndarray = is_novel, ranks: np.ndarray = ranks) -> Labeled:
            rows = splits[split][~is_novel[splits[split]]]
            rows = retrieval.sample_queries(rows, labels[rows], NOVEL_CLASSES_ROWS, params.base.seed)
            return Labeled(features, rows, ranks[labels[rows]].astype(np.int32))

        novel = np.flatnonzero(is_novel)
        novel = retrieval.sample_queries(novel, labels[novel], NOVEL_CLASSES_ROWS, params.base.seed)
        queries = np.flatnonzero(np.isin(novel, splits["test"]) & (np.bincount(labels[novel])[labels[novel]] > 1))
        if not len(queries) or is_novel[splits["valid"]].all():
            continue  # as the source may have given the splits
        taught = known("train")
        head, _ = train_network(taught, known("valid"), int(ranks[-1]) + 1, settings.size, shorter)
        visual = fit_visual_part(features, taught.rows, columns, settings.visual_size, params.base.seed)
        mean, scale = standardization(features, taught.rows)
        vectors = {
            "model": EmbeddingModel(head, visual, settings.visual_weight)(features[novel]),
            "features": (features[novel] - mean) / scale,
        }
        for name, each in vectors.items():
            scores = retrieval.evaluate_retrieval(each, labels[novel], queries, np.arange(len(novel))).scores
            found[name].append(scores)
    if not found["model"]:
        return {}
    joined = {
        name: {key: np.concatenate([each[key] for each in parts]) for key in HEADLINES} for name, parts in found.items()
    }
    return {**retrieval.means(joined["model"]), "features": retrieval.means(joined["features"])}


def measure_likeness(manifest: Manifest, embeddings: np.ndarray, model: EmbeddingModel) -> dict[str, Any]:
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
        "interval": mean_interval((ranks == 1).astype(float), originals)._asdict(),
        "queries": len(by_edit),
        "edits": {name: retrieval.shares_found(by_edit[:, i]) for i, name in enumerate(EDITS)},
        **({"class_part": retrieval.shares_found(ranks_by(model.class_size))} if model.class_size else {}),
    }


def query_scores(manifest: Manifest, measured: dict[str, Measured]) -> Iterator[tuple[str, ...]]:
    """List the scores of each query, by which two models can be compared in pairs; a score it lacks is empty."""
    for split, each in measured.items():
        for query, values in zip(each.queries.tolist(), np.column_stack(list(each.scores.values())), strict=True):
            yield manifest.keys[query], split, *("" if np.isnan(value) else f"{value:.6f}" for value in values)


def query_neighbors(manifest: Manifest, test: Measured) -> Iterator[tuple[str, str, str]]:
    """List the nearest training images of each query, best first."""
    for query, nearest, cosines in zip(test.queries.tolist(), test.found.nearest, test.found.cosines, strict=True):
        for row, cosine in zip(nearest.tolist(), cosines.tolist(), strict=True):
            yield manifest.keys[query], manifest.keys[row], f"{cosine:.6f}"


def class_scores(manifest: Manifest, test: Measured, groups: np.ndarray) -> Iterator[tuple[object, ...]]:
    """List the mean scores of each class that has queries, with the interval of its P@10."""
    labels, scores = manifest.labels[test.queries], test.found.scores
    for label in np.unique(labels).tolist():  # a source may give splits without test images of a class
        chosen = {name: values[labels == label] for name, values in scores.items()}
        interval = mean_interval(chosen["p_at_10"], groups[test.queries[labels == label]])
        figures = [*retrieval.means(chosen).values(), *interval]
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
