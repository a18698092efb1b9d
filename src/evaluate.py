"""Stage `evaluate`: measure the model on images that nothing was learned from, in figures and pictures."""

from pipeline.inputs import load_edits, load_rows
from pipeline.stage import run_stage, track

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from similarity import layout
from similarity.data.confidence import mean_interval
from similarity.data.dataset.duplicates import bounded_groups, read_duplicates
from similarity.data.dataset.manifest import SPLIT_NAMES, Manifest, read_manifest, read_splits
from similarity.data.evaluation import retrieval
from similarity.data.evaluation.retrieval import SCORES, Retrieval
from similarity.data.features.extractor import tapped_columns
from similarity.data.files import Outputs, write_metrics, write_table
from similarity.data.images.pictures import Previews, draw_sheet, tile_of
from similarity.data.images.pixels import EDITS
from similarity.data.vectors import standardization
from similarity.embedding.model import EmbeddingModel, Head, fit_visual_part, load_embedding_model, predict_classes
from similarity.params import Params

QUERY_ROWS = 10
HEADLINES = ("p_at_10", "map_at_r")
CLASS_COLUMNS = ("class", "queries", *SCORES, "p_at_10_low", "p_at_10_high")


def main(params: Params, outputs: Outputs) -> None:
    manifest, model = read_manifest(layout.MANIFEST), load_embedding_model(layout.EMBEDDER)
    embeddings = np.asarray(load_rows(layout.EMBEDDINGS, manifest))
    features = load_rows(layout.FEATURES, manifest, len(model.head.kernel))
    splits = read_splits(layout.SPLITS, manifest)
    # Without classes, all images count as one class: what is found can be drawn, the scores mean nothing.
    labels = manifest.labels if manifest.can_teach else np.zeros_like(manifest.labels)
    if manifest.can_teach:
        splits = {name: manifest.labeled(rows) for name, rows in splits.items()}

    def measure(split: str) -> Retrieval:
        """Classify images of a split, and retrieve images of their classes, from the training images and from it."""
        rows = splits[split]
        queries = retrieval.sample_queries(rows, labels[rows], retrieval.MAX_QUERIES, params.base.seed)
        correct = (predict_classes(features[queries], model.head) == labels[queries]).astype(float)
        found = retrieval.evaluate_retrieval(embeddings, labels, queries, splits["train"])
        unseen = {name: np.full(len(queries), np.nan) for name in HEADLINES}
        with_others = np.bincount(labels[rows])[labels[queries]] > 1
        if with_others.any():
            others = retrieval.evaluate_retrieval(embeddings, labels, queries[with_others], rows)
            for name, values in unseen.items():
                values[with_others] = others.scores[name]
        unseen = {f"unseen_{name}": values for name, values in unseen.items()}
        return found._replace(scores={"correct": correct, **found.scores, **unseen})

    measured = {split: measure(split) for split in track(("valid", "test"), "evaluate: rank", unit=" splits")}
    test, scores = measured["test"], dict[str, Any]()
    by_query: Iterable[Sequence[object]] = ()
    by_class: Iterable[Sequence[object]] = ()
    confusion: Iterable[Sequence[object]] = ()
    if manifest.can_teach:
        groups = bounded_groups(manifest, *read_duplicates(layout.DUPLICATES, manifest), len(SPLIT_NAMES))
        scores = {
            **summarize(test, groups),
            "queries_with_near_duplicates": int(np.isin(groups[test.queries], groups[splits["train"]]).sum()),
            "validation": retrieval.means(measured["valid"].scores),
            "novel_classes": measure_novel_classes(features, manifest, splits, params),
        }
        nearest = zip(test.queries.tolist(), test.nearest[:, 0].tolist(), strict=True)
        confusion = ([manifest.records[row].label for row in pair] for pair in nearest)
        by_query, by_class = query_scores(manifest, measured), class_scores(manifest, test, groups)
    likeness = measure_likeness(manifest, embeddings, model)
    write_metrics(outputs.file(layout.METRICS / "retrieval.json"), {name: scores[name] for name in HEADLINES if scores})
    write_metrics(outputs.file(layout.METRICS / "likeness.json"), {"same_image_at_1": likeness["same_image_at_1"]})
    write_metrics(outputs.file(layout.DETAILS / "evaluate.json"), {**scores, "likeness": likeness})
    write_table(outputs.file(layout.QUERY_SCORES), layout.QUERY_SCORES_COLUMNS, by_query)
    write_table(outputs.file(layout.PLOTS / "per_class.csv"), CLASS_COLUMNS, by_class)
    write_table(outputs.file(layout.PLOTS / "confusion.csv"), ("actual", "nearest"), confusion)
    write_table(outputs.file(layout.QUERY_NEIGHBORS), layout.QUERY_NEIGHBORS_COLUMNS, query_neighbors(manifest, test))
    draw_queries(manifest, test, outputs.folder(layout.PLOTS / "queries"))
    shown = ("test_accuracy", "p_at_10", "map_at_r", "same_image_at_1")
    figures = ", ".join(f"{name} {value:.4f}" for name, value in (scores | likeness).items() if name in shown)
    print(f"evaluate: {figures}; queries are drawn in {layout.PLOTS / 'queries'}")
    if scores and (unseen := scores["unseen"]):  # no class may have two test images
        print(f"evaluate: among images that nothing was learned from, map_at_r is {unseen['map_at_r']:.4f}")


def summarize(test: Retrieval, groups: np.ndarray) -> dict[str, Any]:
    """Average the scores of test images, with intervals, for which each image has a group, int64 (N,)."""
    scores = {"test_accuracy" if name == "correct" else name: values for name, values in test.scores.items()}
    averages, intervals = retrieval.means(scores), {}
    for name in averages:
        known = ~np.isnan(scores[name])
        intervals[name] = mean_interval(scores[name][known], groups[test.queries[known]])._asdict()
    unseen = {name: averages.pop(f"unseen_{name}") for name in HEADLINES if f"unseen_{name}" in averages}
    return {**averages, "unseen": unseen, "queries": len(test.queries), "intervals": intervals}


def measure_novel_classes(
    features: np.ndarray, manifest: Manifest, splits: dict[str, np.ndarray], params: Params
) -> dict[str, Any]:
    """Search among images of classes that are held out, by a model trained without them, and by the bare features.

    It is what to expect of kinds of images that have no label. There is nothing to measure with fewer than four
    classes.
    """
    settings, found = params.embedding, []
    columns = tapped_columns(layout.BACKBONE, settings.visual_taps if settings.visual_size else [])
    folds = retrieval.hold_out_classes(manifest.labels, len(manifest.classes), splits)
    with np.load(layout.NOVEL_CLASSES) as weights:  # of the trained class parts
        trained = list(zip(folds, weights["kernels"], weights["biases"], strict=True))
    for fold, kernel, bias in track(trained, "evaluate: novel classes", unit=" thirds"):
        head = Head(kernel, bias, np.empty((len(bias), 0), np.float32), np.empty(0, np.float32))
        visual = fit_visual_part(features, fold.train, columns, settings.visual_size, params.base.seed)
        mean, scale = standardization(features, fold.train)
        novel = features[fold.novel]
        labels, rows = manifest.labels[fold.novel], np.arange(len(novel))
        vectors = EmbeddingModel(head, visual, settings.visual_weight)(novel), (novel - mean) / scale
        found.append([retrieval.evaluate_retrieval(each, labels, fold.queries, rows).scores for each in vectors])
    if not found:
        return {}
    model, bare = (
        retrieval.means({name: np.concatenate([scores[name] for scores in each]) for name in HEADLINES})
        for each in zip(*found, strict=True)
    )
    return {**model, "features": bare}


def measure_likeness(manifest: Manifest, embeddings: np.ndarray, model: EmbeddingModel) -> dict[str, Any]:
    """Find the originals of edited test images among all, by the embedding and by its class part alone."""
    originals, features = load_edits(len(model.head.kernel))
    edited = model(features)

    def ranks_by(size: int) -> np.ndarray:
        return retrieval.ranks_of_originals(edited[:, :size], originals, embeddings[:, :size], manifest.contents)

    ranks = ranks_by(model.size)
    by_edit = ranks.reshape(-1, len(EDITS))
    return {
        **retrieval.shares_found(ranks),
        "interval": mean_interval((ranks == 1).astype(float), originals)._asdict(),
        "queries": len(by_edit),
        "edits": {name: retrieval.shares_found(by_edit[:, i]) for i, name in enumerate(EDITS)},
        **({"class_part": retrieval.shares_found(ranks_by(model.class_size))} if model.class_size else {}),
    }


def query_scores(manifest: Manifest, measured: dict[str, Retrieval]) -> Iterator[tuple[str, ...]]:
    """List the scores of each query, by which two models can be compared in pairs; a score it lacks is empty."""
    for split, each in measured.items():
        for query, values in zip(each.queries.tolist(), np.column_stack(list(each.scores.values())), strict=True):
            yield manifest.keys[query], split, *("" if np.isnan(value) else f"{value:.6f}" for value in values)


def query_neighbors(manifest: Manifest, test: Retrieval) -> Iterator[tuple[str, str, str]]:
    """List the nearest training images of each query, best first."""
    for query, nearest, cosines in zip(test.queries.tolist(), test.nearest, test.cosines, strict=True):
        for row, cosine in zip(nearest.tolist(), cosines.tolist(), strict=True):
            yield manifest.keys[query], manifest.keys[row], f"{cosine:.6f}"


def class_scores(manifest: Manifest, test: Retrieval, groups: np.ndarray) -> Iterator[tuple[object, ...]]:
    """List the mean scores of each class that has queries, with the interval of its P@10."""
    labels = manifest.labels[test.queries]
    for label in np.unique(labels).tolist():  # a source may give splits without test images of a class
        chosen = {name: test.scores[name][labels == label] for name in SCORES}
        interval = mean_interval(chosen["p_at_10"], groups[test.queries[labels == label]])
        figures = [*retrieval.means(chosen).values(), *interval]
        yield manifest.classes[label], int((labels == label).sum()), *(f"{value:.6f}" for value in figures)


def draw_queries(manifest: Manifest, test: Retrieval, folder: Path) -> None:
    """Draw some test images, the same ones for every model, each with its neighbors."""
    previews = Previews(layout.PREVIEWS)
    chosen = np.unique(np.linspace(0, len(test.queries) - 1, QUERY_ROWS + 2).round().astype(int)[1:-1]).tolist()
    for number, i in enumerate(track(chosen, "evaluate: draw"), 1):
        row = int(test.queries[i])
        label = manifest.records[row].label if manifest.can_teach else None
        found = zip(test.nearest[i].tolist(), test.cosines[i].tolist(), strict=True)
        tiles = [tile_of(previews[row], manifest.keys[row], "query", None)]
        tiles += [tile_of(previews[each], manifest.keys[each], f"{cosine:.3f}", label) for each, cosine in found]
        draw_sheet([tiles]).save(folder / f"query_{number:02d}.png")


if __name__ == "__main__":
    run_stage(main)
