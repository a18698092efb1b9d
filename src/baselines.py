"""Stage `baselines`: edit some test images, and measure what colors, pixels and bare features alone find.

None of it depends on the training, so experiments with it do not run this stage.
"""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterator

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import ImageRecord, read_manifest, read_splits
from similarity.data.dataset.scanning import HISTOGRAM_BINS, THUMBNAIL_SIZE
from similarity.data.evaluation import retrieval
from similarity.data.features.extractor import load_extractor
from similarity.data.files import Outputs, write_array, write_metrics
from similarity.data.images.decoding import read_image_file
from similarity.data.images.edits import EDITS as KINDS
from similarity.data.images.edits import edit
from similarity.data.images.pixels import centered_pixels, color_histogram, count_values, resize, thumbnail
from similarity.data.images.wide import read_ranges
from similarity.data.parallel import ordered_map
from similarity.data.vectors import standardization
from similarity.params import Params

EDITED_IMAGES = 300
QUERIES = 1000  # features and pixels are much longer than embeddings, and slower to compare
LARGE, EDITED_IN_LARGE = 5000, 100  # images above which the originals of fewer are looked for


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed = read_manifest(layout.MANIFEST), params.base.seed
    splits = read_splits(layout.SPLITS, manifest)
    vectors = {
        "color_histogram": load_rows(layout.HISTOGRAMS, manifest),
        "pixels": load_rows(layout.THUMBNAILS, manifest),
        "features": load_rows(layout.FEATURES, manifest),
    }
    mean, scale = standardization(vectors["features"])
    prepare: dict[str, retrieval.Prepare] = {
        "color_histogram": np.asarray,
        "pixels": centered_pixels,
        "features": lambda rows: (rows - mean) / scale,
    }
    # From all classes, unless there are too many.
    classes = manifest.labels if len(manifest.folders) <= EDITED_IMAGES else np.zeros_like(manifest.labels)
    rows = retrieval.sample_queries(splits["test"], classes[splits["test"]], EDITED_IMAGES, seed)
    edited = edit_images([manifest.records[row] for row in rows])
    step = -(-len(rows) // EDITED_IN_LARGE) if len(manifest.records) > LARGE else 1
    figures: dict[str, dict[str, float]] = {}
    for name, array in track(vectors.items(), "baselines: compare", unit=" kinds of vectors"):
        figures[name] = {}
        if manifest.can_teach:  # scored as `evaluate` scores the embeddings
            test, gallery = (manifest.labeled(splits[split]) for split in ("test", "train"))
            queries = retrieval.sample_queries(test, manifest.labels[test], QUERIES, seed)
            found = retrieval.evaluate_retrieval(array, manifest.labels, queries, gallery, prepare[name])
            figures[name] |= retrieval.means(found.scores)
        edits, originals = np.concatenate(edited[name][::step]), np.repeat(rows[::step], len(KINDS))
        ranks = retrieval.ranks_of_originals(edits, originals, array, manifest.contents, prepare[name])
        figures[name] |= retrieval.shares_found(ranks)
    folder = outputs.folder(layout.EDITS)
    write_array(folder / "rows.npy", rows)
    write_array(folder / "features.npy", edited["features"])
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
