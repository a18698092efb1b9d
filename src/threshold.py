"""Stage `threshold`: up to which distance an image is similar to something indexed, and what that refuses."""

from collections.abc import Iterator

import numpy as np

from pipeline.origin import describe_origin
from pipeline.paths import BACKBONE, DUPLICATES, FEATURES, MANIFEST, METRICS, PLOTS, REFERENCE, SPLITS
from pipeline.stage import run_stage, track
from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.duplication.grouping import group_rows
from similarity.duplication.pairs import read_duplicates
from similarity.features.extractor import load_extractor
from similarity.files import Outputs, write_metrics, write_table
from similarity.generated.foreign import KINDS, draw_foreign
from similarity.images.resizing import resize
from similarity.novelty.reference import (
    distances_to_others,
    fit_reference,
    refused_shares_by_class,
    save_reference,
)
from similarity.params import Params

IMAGES_PER_KIND = 50
BATCH_SIZE = 10
LONGEST_SIDE = 512  # pixels
WEAK = 0.5  # share of foreign images refused, below which a refusal is rare


def main(params: Params, outputs: Outputs) -> None:
    from sklearn.metrics import roc_auc_score

    manifest, seed, accepted = read_manifest(MANIFEST), params.base.seed, params.threshold.accepted
    groups = group_rows(len(manifest.records), *read_duplicates(DUPLICATES, manifest))
    origin = describe_origin(BACKBONE)
    reference = fit_reference(np.load(FEATURES, mmap_mode="r"), groups, accepted, origin, seed)
    save_reference(reference, outputs.file(REFERENCE))
    is_test = np.isin(reference.rows, read_splits(SPLITS, manifest)["test"])
    own = distances_to_others(reference, groups)
    foreign = {kind: reference.distances(features) for kind, features in _foreign_features(manifest, seed)}
    distances = np.concatenate(list(foreign.values()))
    held_out = refused_shares_by_class(reference, manifest.labels)
    figures = {
        "distance": reference.max_distance,
        # Of test images by what the others calibrate: they would otherwise be accepted by construction.
        "accepted": (own[is_test] <= np.quantile(own[~is_test], accepted, method="higher")).mean(),
        "refused": (distances > reference.max_distance).mean(),
        "refused_held_out": held_out.mean(),
        "auroc": roc_auc_score(
            np.repeat([0, 1], [is_test.sum(), len(distances)]), np.concatenate([own[is_test], distances])
        ),
    }
    write_metrics(outputs.file(METRICS / "threshold.json"), figures)
    refused = {f"drawn: {kind}": (values > reference.max_distance).mean() for kind, values in foreign.items()}
    refused |= {f"held out: {name}": share for name, share in zip(manifest.classes, held_out, strict=True)}
    rows = ((name, f"{share:.6f}") for name, share in refused.items())
    write_table(outputs.file(PLOTS / "threshold.csv"), ("foreign", "refused"), rows)
    print("threshold: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    if figures["refused"] < WEAK:
        print("threshold: foreign images are seldom told from these: most queries will get an answer, similar or not")


def _foreign_features(manifest: Manifest, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """The features of some images of each kind of drawn ones, float32 (n, D), of the data set's usual size."""
    extractor = load_extractor(BACKBONE, [BATCH_SIZE])
    sides = [min(record.width, record.height) for record in manifest.records]
    size = int(np.clip(np.median(sides), 16, LONGEST_SIDE))
    for kind in track(KINDS, "threshold", unit=" kinds"):
        drawn = (draw_foreign(kind, number, size, seed) for number in range(IMAGES_PER_KIND))
        yield kind, extractor(np.stack([resize(pixels, extractor.image_size) for pixels in drawn]))


if __name__ == "__main__":
    run_stage(main)
