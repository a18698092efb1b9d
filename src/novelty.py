"""Stage `novelty`: find the novelty limit and the scale of likeness, and measure what the limit refuses."""

from pipeline.inputs import load_rows
from pipeline.stage import run_stage, track

import numpy as np

from similarity import layout
from similarity.data.dataset.duplicates import bounded_groups, read_duplicates
from similarity.data.dataset.manifest import SPLIT_NAMES, read_manifest, read_splits
from similarity.data.evaluation import novelty
from similarity.data.evaluation.likeness import LOOKS, Likeness, add_likeness, fit_likeness
from similarity.data.evaluation.retrieval import sample_queries
from similarity.data.features.extractor import Extractor, load_extractor, tapped_columns
from similarity.data.files import Outputs, write_metrics, write_table
from similarity.data.images.pixels import resize
from similarity.data.parallel import ordered_map
from similarity.data.vectors import normalize
from similarity.embedding.model import load_embedding_model
from similarity.params import Params

MAX_IMAGES = 10_000  # gallery images that are kept, and test images that are tried
TAPS = 2  # the last ones, which distinguish kinds of things; earlier ones distinguish textures and colors
IMAGES_PER_KIND = 20
BATCH_SIZE = 10
LONGEST_SIDE = 512  # pixels
WEAK = 0.5  # share of unrelated images refused, below which a refusal is rare


def main(params: Params, outputs: Outputs) -> None:
    manifest, extractor = read_manifest(layout.MANIFEST), load_extractor(layout.BACKBONE, [BATCH_SIZE], throughput=True)
    accepted, seed = params.novelty.accepted, params.base.seed
    groups = bounded_groups(manifest, *read_duplicates(layout.DUPLICATES, manifest), len(SPLIT_NAMES))
    rows, test = (
        sample_queries(each, manifest.labels[each], MAX_IMAGES, seed)
        for each in (np.arange(len(groups)), read_splits(layout.SPLITS, manifest)["test"])
    )
    columns = tapped_columns(layout.BACKBONE, list(extractor.description["tap_features"])[-TAPS:])
    features = load_rows(layout.FEATURES, manifest, extractor.features)
    fitted, distances = novelty.fit_novelty(features[rows], columns, groups[rows], accepted, seed)
    # Test images are judged by a limit that they had no part in.
    limit = novelty.novelty_limit(distances[~np.isin(rows, test)], accepted)
    tested = novelty.project(features[test], columns, fitted.kernel)
    own = novelty.nearest_distances(tested, groups[test], fitted.points, groups[rows])
    sides = [min(record.width, record.height) for record in manifest.records]
    drawn = distances_of_drawn_images(fitted, extractor, int(np.clip(np.median(sides), 16, LONGEST_SIDE)), seed)
    figures = {
        "distance": fitted.limit,
        "accepted": (own <= limit).mean(),
        "refused": (drawn > fitted.limit).mean(),
    }
    by_kind = zip(novelty.KINDS, (drawn > fitted.limit).mean(axis=1), strict=True)
    refused = {f"drawn: {kind}": share for kind, share in by_kind}
    labels = manifest.labels[rows] if manifest.can_teach else np.zeros(len(rows), int)
    held_out = ""
    if manifest.can_teach:
        shares = novelty.refused_shares_by_class(fitted, labels)[: len(manifest.classes)]
        refused |= {f"held out: {name}": share for name, share in zip(manifest.classes, shares, strict=True)}
        figures["refused_held_out"] = shares.mean()
        held_out = f"{1 - shares.mean():.1%} of the images of a class that is not indexed, "
    figures["auroc"] = share_below(own, drawn.ravel())
    path = outputs.file(layout.NOVELTY)
    novelty.save_novelty(fitted, path)
    add_likeness(scale_of(load_rows(layout.EMBEDDINGS, manifest)[rows], groups[rows], labels, seed), path)
    headline = {"novelty": figures.get("refused_held_out", figures["refused"])}
    write_metrics(outputs.file(layout.METRICS / "novelty.json"), headline)
    write_metrics(outputs.file(layout.DETAILS / "novelty.json"), figures)
    lines = ((name, f"{share:.6f}") for name, share in refused.items())
    write_table(outputs.file(layout.PLOTS / "novelty.csv"), ("images", "refused"), lines)
    print(
        f"novelty: images within {fitted.limit:.4f} count as similar: {figures['accepted']:.1%} of the test images, "
        f"{1 - figures['refused']:.1%} of drawn patterns, {held_out}by kind in {layout.PLOTS / 'novelty.csv'}"
    )
    if figures["refused"] < WEAK:
        print(f"novelty: only {figures['refused']:.0%} of drawn patterns are refused: do not rely on refusals")


def scale_of(embeddings: np.ndarray, groups: np.ndarray, labels: np.ndarray, seed: int) -> Likeness:
    """Fit the scale of likeness to embeddings, float32 (m, E), for each of some looks, if there are two parts."""
    model = load_embedding_model(layout.EMBEDDER)
    units, weight = {model.visual_weight: normalize(embeddings)}, model.visual_weight
    if 0 < model.class_size < model.size and 0 < weight < 1:
        parts = [normalize(part) for part in np.split(embeddings, [model.class_size], axis=1)]
        for look in LOOKS:
            units[look] = np.hstack([(1 - look) ** 0.5 * parts[0], look**0.5 * parts[1]]).astype(np.float32)
    return fit_likeness(units, weight, groups, labels, seed)


def distances_of_drawn_images(fitted: novelty.Novelty, extractor: Extractor, size: int, seed: int) -> np.ndarray:
    """Draw unrelated images of some size in pixels, and measure their distances, float64 (kinds, images)."""

    def draw(kind_and_start: tuple[str, int]) -> np.ndarray:
        kind, start = kind_and_start
        images = (novelty.draw_foreign(kind, number, size, seed) for number in range(start, start + BATCH_SIZE))
        return np.stack([resize(image, extractor.image_size) for image in images])

    batches = [(kind, start) for kind in novelty.KINDS for start in range(0, IMAGES_PER_KIND, BATCH_SIZE)]
    drawn = track(ordered_map(draw, batches, ahead=8), "novelty: unrelated images", len(batches), unit=" batches")
    distances = [fitted.distances(features) for features in ordered_map(extractor, drawn, ahead=2)]
    return np.concatenate(distances).reshape(len(novelty.KINDS), IMAGES_PER_KIND)


def share_below(lower: np.ndarray, higher: np.ndarray) -> float:
    """Compute the share of pairs in which the first value is below the second, ties half: the area under the ROC."""
    places = [np.searchsorted(np.sort(lower), higher, side).mean() for side in ("left", "right")]
    return float(np.mean(places)) / len(lower)


if __name__ == "__main__":
    run_stage(main)
