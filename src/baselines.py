"""Stage `baselines`: edits some test images, and measures what colors, pixels and bare features alone find.

None of it depends on the training, so experiments with it do not run this stage.
"""

from pipeline.inputs import load_rows, load_variants
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import ImageRecord, Manifest, read_manifest, read_splits
from similarity.dataset.scanning import HISTOGRAM_BINS, THUMBNAIL_SIZE
from similarity.evaluation.likeness import Prepare, ranks_of_originals, shares_found
from similarity.evaluation.retrieval import MAX_QUERIES, evaluate_retrieval, mean_scores, sample_queries
from similarity.features.extractor import load_extractor
from similarity.files import Outputs, open_array, write_array, write_metrics
from similarity.images.changes import CHANGES, change
from similarity.images.decoding import read_image_file
from similarity.images.descriptors import centered_pixels, color_histogram, count_values, thumbnail
from similarity.images.resizing import resize
from similarity.images.shards import open_images
from similarity.layout import BACKBONE, DETAILS, EDITS, FEATURES, HISTOGRAMS, IMAGES, MANIFEST, SPLITS, THUMBNAILS
from similarity.parallel import ordered_map
from similarity.params import Params
from similarity.vectors import standardization

EDITED_IMAGES = 300


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    edits = outputs.folder(EDITS)
    _write_edits(manifest, edits, params.base.seed)
    histograms, thumbnails, features = (load_rows(path, manifest) for path in (HISTOGRAMS, THUMBNAILS, FEATURES))
    mean, scale = standardization(features)
    baselines: dict[str, tuple[np.ndarray, Prepare]] = {
        "color_histogram": (histograms, np.asarray),
        "pixels": (thumbnails, centered_pixels),
    }
    protocol = _protocol(manifest, params)
    figures = {
        name: (_retrieve(vectors, prepare, protocol) if protocol else {})
        | _find_changed(edits, name, vectors, prepare, manifest)
        for name, (vectors, prepare) in baselines.items()
    }
    figures["features"] = _find_changed(edits, "features", features, lambda rows: (rows - mean) / scale, manifest)
    write_metrics(outputs.file(DETAILS / "baselines.json"), figures)
    for name, values in figures.items():
        print(f"baselines: {name}: " + ", ".join(f"{figure} {value:.4f}" for figure, value in values.items()))


class _Protocol(NamedTuple):
    """The class indices of all images, int (n,), and which rows of the manifest are queries and gallery, int64."""

    labels: np.ndarray
    queries: np.ndarray
    gallery: np.ndarray


def _protocol(manifest: Manifest, params: Params) -> _Protocol | None:
    """The protocol of `evaluate`, unless there are no classes to tell apart."""
    if not manifest.can_teach:
        return None
    splits = {split: manifest.labeled(rows) for split, rows in read_splits(SPLITS, manifest).items()}
    labels, test = manifest.labels, splits["test"]
    queries = sample_queries(test, labels[test], MAX_QUERIES, params.base.seed)
    return _Protocol(labels, queries, splits["train"])


def _retrieve(vectors: np.ndarray, prepare: Prepare, protocol: _Protocol) -> dict[str, float]:
    """Scores the retrieval of training images by test images, with descriptors of all images, (n, …)."""
    progress = partial(track, label="baselines", unit=" blocks")
    return mean_scores(evaluate_retrieval(vectors, *protocol, progress, prepare).scores)


def _find_changed(
    edits: Path, name: str, vectors: np.ndarray, prepare: Prepare, manifest: Manifest
) -> dict[str, float]:
    """Looks for the originals of changed test images, by descriptors of all, (n, …)."""
    originals, changed = load_variants(edits, name, manifest)
    progress = partial(track, label=f"baselines: {name}", unit=" blocks")
    ranks = ranks_of_originals(changed, originals, vectors, prepare, manifest.contents, progress)
    return shares_found(ranks)


def _write_edits(manifest: Manifest, folder: Path, seed: int) -> None:
    extractor = load_extractor(BACKBONE, (len(CHANGES),), throughput=True)
    test = read_splits(SPLITS, manifest)["test"]
    classes = manifest.labels[test] if len(manifest.folders) <= EDITED_IMAGES else np.zeros_like(test)
    rows = sample_queries(test, classes, EDITED_IMAGES, seed)
    write_array(folder / "rows.npy", [rows])
    with (
        open_array(folder / "features.npy") as features,
        open_array(folder / "color_histogram.npy") as histograms,
        open_array(folder / "pixels.npy") as thumbnails,
    ):

        def pixels() -> Iterator[np.ndarray]:
            records = [manifest.records[row] for row in rows]
            for for_backbone, histogram, thumbnail in _change(records, extractor.image_size):
                histograms.append(histogram[None])
                thumbnails.append(thumbnail[None])
                yield for_backbone

        for computed in extractor.stream(pixels()):
            features.append(computed[None])
    print(f"baselines: {counted(len(rows), 'test image')}, each edited in {len(CHANGES)} ways")


def _change(records: list[ImageRecord], image_size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gives, of all changes of each image, the pixels for the backbone, the color histograms and the thumbnails."""

    images = open_images(IMAGES)

    def load(record: ImageRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels = read_image_file(images / record.path, record.sha256, image_size)
        variants = [change(pixels, name) for name in CHANGES]
        return (
            np.stack([resize(variant, image_size) for variant in variants]),
            np.stack([color_histogram(count_values(variant), HISTOGRAM_BINS) for variant in variants]),
            np.stack([thumbnail(variant, THUMBNAIL_SIZE) for variant in variants]),
        )

    yield from track(ordered_map(load, records, ahead=8), "baselines: edit", len(records))


if __name__ == "__main__":
    run_stage(main)
