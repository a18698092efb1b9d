"""Stage `baselines`: edit some test images, and measure what colors, pixels and bare features alone find.

None of it depends on the training, so experiments with it do not run this stage.
"""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterator
from functools import partial

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import ImageRecord, read_manifest, read_splits
from similarity.data.dataset.scanning import HISTOGRAM_BINS, THUMBNAIL_SIZE
from similarity.data.features.extractor import load_extractor
from similarity.data.files import Outputs, write_array, write_metrics
from similarity.data.images.decoding import read_image_file
from similarity.data.images.edits import EDITS as KINDS
from similarity.data.images.edits import edit
from similarity.data.images.pixels import centered_pixels, color_histogram, count_values, resize, thumbnail
from similarity.data.images.wide import read_ranges
from similarity.data.parallel import ordered_map
from similarity.data.vectors import standardization
from similarity.evaluation.retrieval import (
    MAX_QUERIES,
    Prepare,
    evaluate_retrieval,
    means,
    ranks_of_originals,
    sample_queries,
    shares_found,
)
from similarity.params import Params

EDITED_IMAGES = 300
FEATURE_QUERIES = 1000  # features are much longer than other vectors, and slower to compare


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed = read_manifest(layout.MANIFEST), params.base.seed
    splits = read_splits(layout.SPLITS, manifest)
    vectors = {
        "color_histogram": load_rows(layout.HISTOGRAMS, manifest),
        "pixels": load_rows(layout.THUMBNAILS, manifest),
        "features": load_rows(layout.FEATURES, manifest),
    }
    mean, scale = standardization(vectors["features"])
    prepare: dict[str, Prepare] = {
        "color_histogram": np.asarray,
        "pixels": centered_pixels,
        "features": lambda rows: (rows - mean) / scale,
    }
    # From all classes, unless there are too many.
    classes = manifest.labels if len(manifest.folders) <= EDITED_IMAGES else np.zeros_like(manifest.labels)
    rows = sample_queries(splits["test"], classes[splits["test"]], EDITED_IMAGES, seed)
    edited = edit_images([manifest.records[row] for row in rows])
    figures: dict[str, dict[str, float]] = {}
    for name, array in vectors.items():
        figures[name], progress = {}, partial(track, label=f"baselines: {name}", unit=" blocks")
        if manifest.can_teach:  # scored as `evaluate` scores the embeddings
            test, gallery = (manifest.labeled(splits[split]) for split in ("test", "train"))
            most = FEATURE_QUERIES if name == "features" else MAX_QUERIES
            queries = sample_queries(test, manifest.labels[test], most, seed)
            arguments = array, manifest.labels, queries, gallery, prepare[name], progress
            figures[name] |= means(evaluate_retrieval(*arguments).scores)
        edits, originals = np.concatenate(edited[name]), np.repeat(rows, len(KINDS))
        ranks = ranks_of_originals(edits, originals, array, manifest.contents, prepare[name], progress)
        figures[name] |= shares_found(ranks)
    folder = outputs.folder(layout.EDITS)
    for name, array in {"rows": rows, **edited}.items():
        write_array(folder / f"{name}.npy", [array])
    write_metrics(outputs.file(layout.DETAILS / "baselines.json"), figures)
    print(f"baselines: {counted(len(rows), 'test image')}, each edited in {len(KINDS)} ways")
    for name, values in figures.items():
        print(f"baselines: {name}: " + ", ".join(f"{figure} {value:.4f}" for figure, value in values.items()))


def edit_images(records: list[ImageRecord]) -> dict[str, np.ndarray]:
    """Edit images in all ways; give, by the name of each baseline, its vectors of the results, (n, edits, …)."""
    extractor = load_extractor(layout.BACKBONE, (len(KINDS),), throughput=True)
    ranges = read_ranges(layout.RANGES)
    described: dict[str, list[np.ndarray]] = {"color_histogram": [], "pixels": []}

    def edit_image(record: ImageRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels = read_image_file(layout.IMAGES / record.path, record.sha256, extractor.image_size, ranges)
        edited = [edit(pixels, name) for name in KINDS]
        return (
            np.stack([resize(each, extractor.image_size) for each in edited]),
            np.stack([color_histogram(count_values(each), HISTOGRAM_BINS) for each in edited]),
            np.stack([thumbnail(each, THUMBNAIL_SIZE) for each in edited]),
        )

    def inputs() -> Iterator[np.ndarray]:
        for pixels, histograms, thumbnails in ordered_map(edit_image, records, ahead=8):
            described["color_histogram"].append(histograms)
            described["pixels"].append(thumbnails)
            yield pixels

    described["features"] = list(track(extractor.stream(inputs()), "baselines: edit", len(records)))
    return {name: np.stack(arrays) for name, arrays in described.items()}


if __name__ == "__main__":
    run_stage(main)
