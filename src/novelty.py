"""Stage `novelty`: up to which distance an image is similar to something indexed, and what that refuses."""

from pipeline.inputs import load_rows
from pipeline.stage import run_stage, track

from collections.abc import Iterator

import numpy as np

from similarity.dataset.manifest import SPLIT_NAMES, Manifest, read_manifest, read_splits
from similarity.duplication.grouping import bounded_groups
from similarity.duplication.pairs import read_duplicates
from similarity.evaluation.retrieval import sample_queries
from similarity.features.extractor import Extractor, load_extractor, tapped_columns
from similarity.files import Outputs, write_metrics, write_table
from similarity.generated.foreign import KINDS, draw_foreign
from similarity.images.resizing import resize
from similarity.layout import (
    BACKBONE,
    DETAILS,
    DUPLICATES,
    FEATURES,
    MANIFEST,
    METRICS,
    NOVELTY,
    PLOTS,
    SPLITS,
)
from similarity.novelty.reference import (
    Reference,
    area_under_roc,
    calibrate,
    distances_across,
    distances_to_others,
    fit_reference,
    refused_shares_by_class,
    save_reference,
)
from similarity.parallel import ordered_map
from similarity.params import Params

MAX_IMAGES = 10_000  # that the reference is made of, and test images that it is tried on
TAPS = 2  # the last ones, which tell kinds of things apart; earlier ones tell textures and colors apart
IMAGES_PER_KIND = 20
BATCH_SIZE = 10
LONGEST_SIDE = 512  # pixels
WEAK = 0.5  # share of foreign images refused, below which a refusal is rare


def main(params: Params, outputs: Outputs) -> None:
    manifest, extractor = read_manifest(MANIFEST), load_extractor(BACKBONE, [BATCH_SIZE], throughput=True)
    accepted, seed = params.novelty.accepted, params.base.seed
    groups = bounded_groups(manifest, *read_duplicates(DUPLICATES, manifest), len(SPLIT_NAMES))
    rows = _sample(manifest, np.arange(len(groups)), seed)
    columns = tapped_columns(BACKBONE, list(extractor.description["tap_features"])[-TAPS:])
    features = load_rows(FEATURES, manifest, extractor.features)
    reference = fit_reference(features[rows], columns, groups[rows], accepted, seed)
    save_reference(reference, outputs.file(NOVELTY))
    test = _sample(manifest, read_splits(SPLITS, manifest)["test"], seed)
    own = distances_across(reference.project(features[test]), groups[test], reference.points, groups[rows])
    # Test images would be accepted for certain by what they calibrate themselves.
    others = distances_to_others(reference.points, groups[rows])[~np.isin(rows, test)]
    own_accepted = float((own <= calibrate(others, accepted)).mean())
    foreign = dict(_foreign_distances(reference, extractor, manifest, seed))
    classes = manifest.classes if manifest.can_teach else []
    held_out = refused_shares_by_class(reference, manifest.labels[rows])[: len(classes)]
    _write_classes(reference, foreign, dict(zip(classes, held_out, strict=True)), outputs)
    _write_figures(reference.max_distance, own_accepted, own, np.concatenate(list(foreign.values())), held_out, outputs)


def _sample(manifest: Manifest, rows: np.ndarray, seed: int) -> np.ndarray:
    """Draws up to `MAX_IMAGES` of some images, int64 (n,), each class in proportion and with one image at least."""
    return sample_queries(rows, manifest.labels[rows], MAX_IMAGES, seed)


def _foreign_distances(
    reference: Reference, extractor: Extractor, manifest: Manifest, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The distances of some drawn images of each kind, float64 (n,), which have the data set's usual size."""
    sides = [min(record.width, record.height) for record in manifest.records]
    size = int(np.clip(np.median(sides), 16, LONGEST_SIDE))

    def draw(kind_and_start: tuple[str, int]) -> np.ndarray:
        kind, start = kind_and_start
        drawn = (draw_foreign(kind, number, size, seed) for number in range(start, start + BATCH_SIZE))
        return np.stack([resize(each, extractor.image_size) for each in drawn])

    blocks = [(kind, start) for kind in KINDS for start in range(0, IMAGES_PER_KIND, BATCH_SIZE)]
    drawn = track(ordered_map(draw, blocks, ahead=8), "novelty: foreign images", len(blocks), unit=" batches")
    distances = np.concatenate([reference.distances(features) for features in extractor.stream(drawn)])
    yield from zip(KINDS, np.split(distances, len(KINDS)), strict=True)


def _write_classes(
    reference: Reference, foreign: dict[str, np.ndarray], held_out: dict[str, float], outputs: Outputs
) -> None:
    """Writes which share is refused of each kind of drawn images, and of each class if it were not indexed."""
    refused = {f"drawn: {kind}": (values > reference.max_distance).mean() for kind, values in foreign.items()}
    refused |= {f"held out: {name}": share for name, share in held_out.items()}
    rows = ((name, f"{share:.6f}") for name, share in refused.items())
    write_table(outputs.file(PLOTS / "novelty.csv"), ("images", "refused"), rows)


def _write_figures(
    max_distance: float,
    accepted: float,
    own: np.ndarray,
    foreign: np.ndarray,
    held_out: np.ndarray,
    outputs: Outputs,
) -> None:
    """Writes and prints the metrics, from the distances of test images and of foreign ones, float64 (n,) each."""
    figures = {
        "distance": max_distance,
        "accepted": accepted,
        "refused": float((foreign > max_distance).mean()),
        **({"refused_held_out": float(held_out.mean())} if len(held_out) else {}),
        "auroc": area_under_roc(own, foreign),
    }
    write_metrics(outputs.file(METRICS / "novelty.json"), {"novelty": figures["refused"]})
    write_metrics(outputs.file(DETAILS / "novelty.json"), figures)
    print(
        f"novelty: {max_distance:.4f} is the largest distance of what counts as similar: {accepted:.1%} of the test "
        f"images, {1 - figures['refused']:.1%} of the foreign ones; by kind in {PLOTS / 'threshold.csv'}"
    )
    if figures["refused"] < WEAK:
        print(f"novelty: only {figures['refused']:.0%} of the foreign images are refused: do not rely on refusals")


if __name__ == "__main__":
    run_stage(main)
