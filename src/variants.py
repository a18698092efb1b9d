"""Stage `variants`: changes some test images in everyday ways and runs the backbone over them.

Whether they are found is measured by `evaluate`; no parameter of the training reruns this stage.
"""

from pipeline.paths import BACKBONE, IMAGES, MANIFEST, SPLITS, VARIANTS
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterator

import numpy as np

from similarity.dataset.manifest import ImageRecord, read_manifest, read_splits
from similarity.evaluation.retrieval import sample_queries
from similarity.features.extractor import load_extractor
from similarity.files import Outputs, open_array, write_array
from similarity.images.changes import CHANGES, change
from similarity.images.decoding import read_image_file
from similarity.images.descriptors import color_histogram, count_values, thumbnail
from similarity.images.resizing import resize
from similarity.images.shards import open_images
from similarity.parallel import ordered_map
from similarity.params import Params, ScanParams


def main(params: Params, outputs: Outputs) -> None:
    manifest, extractor = read_manifest(MANIFEST), load_extractor(BACKBONE, (len(CHANGES),), throughput=True)
    test = read_splits(SPLITS, manifest)["test"]
    count = params.evaluate.likeness_queries
    classes = manifest.labels[test] if len(manifest.folders) <= count else np.zeros_like(test)
    rows = sample_queries(test, classes, count, params.base.seed)
    folder = outputs.folder(VARIANTS)
    write_array(folder / "rows.npy", [rows])
    with (
        open_array(folder / "features.npy") as features,
        open_array(folder / "color_histogram.npy") as histograms,
        open_array(folder / "pixels.npy") as thumbnails,
    ):

        def pixels() -> Iterator[np.ndarray]:
            records = [manifest.records[row] for row in rows]
            for for_backbone, histogram, thumbnail in _change(records, params.scan, extractor.image_size):
                histograms.append(histogram[None])
                thumbnails.append(thumbnail[None])
                yield for_backbone

        for computed in extractor.stream(pixels()):
            features.append(computed[None])
    print(f"variants: {counted(len(rows), 'test image')}, each changed in {len(CHANGES)} ways")


def _change(
    records: list[ImageRecord], params: ScanParams, image_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gives, of all changes of each image, the pixels for the backbone, the color histograms and the thumbnails."""

    images = open_images(IMAGES)

    def load(record: ImageRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels = read_image_file(images / record.path, record.sha256, image_size)
        variants = [change(pixels, name) for name in CHANGES]
        return (
            np.stack([resize(variant, image_size) for variant in variants]),
            np.stack([color_histogram(count_values(variant), params.histogram_bins) for variant in variants]),
            np.stack([thumbnail(variant, params.thumbnail_size) for variant in variants]),
        )

    yield from track(ordered_map(load, records, ahead=8), "variants", len(records))


if __name__ == "__main__":
    run_stage(main)
