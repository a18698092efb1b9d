"""Stage `baselines`: edit some test images, and measure what colors, pixels and bare features alone find.

None of it depends on the training, so experiments with it do not run this stage.
"""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterator
from functools import partial

import numpy as np

from similarity.dataset.manifest import ImageRecord, Manifest, read_manifest, read_splits
from similarity.dataset.scanning import HISTOGRAM_BINS, THUMBNAIL_SIZE
from similarity.evaluation.likeness import Prepare, ranks_of_originals, shares_found
from similarity.evaluation.retrieval import MAX_QUERIES, evaluate_retrieval, mean_scores, sample_queries
from similarity.features.extractor import load_extractor
from similarity.files import Outputs, write_array, write_metrics
from similarity.images.decoding import read_image_file
from similarity.images.edits import EDITS as KINDS
from similarity.images.edits import edit
from similarity.images.pixels import centered_pixels, color_histogram, count_values, resize, thumbnail
from similarity.layout import BACKBONE, DETAILS, EDITS, FEATURES, HISTOGRAMS, IMAGES, MANIFEST, SPLITS, THUMBNAILS
from similarity.parallel import ordered_map
from similarity.params import Params
from similarity.vectors import standardization

EDITED_IMAGES = 300
FEATURE_QUERIES = 1000  # features are much longer than other vectors, and slower to compare


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed = read_manifest(MANIFEST), params.base.seed
    splits = read_splits(SPLITS, manifest)
    vectors = {
        "color_histogram": load_rows(HISTOGRAMS, manifest),
        "pixels": load_rows(THUMBNAILS, manifest),
        "features": load_rows(FEATURES, manifest),
    }
    mean, scale = standardization(vectors["features"])
    prepare: dict[str, Prepare] = {
        "color_histogram": np.asarray,
        "pixels": centered_pixels,
        "features": lambda rows: (rows - mean) / scale,
    }
    rows = choose_images(manifest, splits["test"], seed)
    edited = edit_images([manifest.records[row] for row in rows])
    figures = {
        name: find_classes(name, vectors[name], prepare[name], manifest, splits, seed)
        | find_originals(name, vectors[name], prepare[name], manifest, rows, edited[name])
        for name in vectors
    }
    folder = outputs.folder(EDITS)
    for name, array in {"rows": rows, **edited}.items():
        write_array(folder / f"{name}.npy", [array])
    write_metrics(outputs.file(DETAILS / "baselines.json"), figures)
    print(f"baselines: {counted(len(rows), 'test image')}, each edited in {len(KINDS)} ways")
    for name, values in figures.items():
        print(f"baselines: {name}: " + ", ".join(f"{figure} {value:.4f}" for figure, value in values.items()))


def choose_images(manifest: Manifest, test: np.ndarray, seed: int) -> np.ndarray:
    """Choose the test images to edit, from all classes where there are not too many: rows, int64 (n,)."""
    labels = manifest.labels[test] if len(manifest.folders) <= EDITED_IMAGES else np.zeros_like(test)
    return sample_queries(test, labels, EDITED_IMAGES, seed)


def edit_images(records: list[ImageRecord]) -> dict[str, np.ndarray]:
    """Edit images in all ways, and describe the results.

    Returns:
        By the name of each baseline, its vectors of the edited images, (n, edits, …).
    """
    extractor = load_extractor(BACKBONE, (len(KINDS),), throughput=True)
    described: dict[str, list[np.ndarray]] = {"color_histogram": [], "pixels": []}

    def edit_image(record: ImageRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels = read_image_file(IMAGES / record.path, record.sha256, extractor.image_size)
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

    features = track(extractor.stream(inputs()), "baselines: edit", len(records))
    described["features"] = list(features)
    return {name: np.stack(arrays) for name, arrays in described.items()}


def find_classes(
    name: str, vectors: np.ndarray, prepare: Prepare, manifest: Manifest, splits: dict[str, np.ndarray], seed: int
) -> dict[str, float]:
    """Score the retrieval of training images by test images as `evaluate` does; without classes, nothing is scored."""
    if not manifest.can_teach:
        return {}
    test, gallery = (manifest.labeled(splits[split]) for split in ("test", "train"))
    queries = sample_queries(test, manifest.labels[test], FEATURE_QUERIES if name == "features" else MAX_QUERIES, seed)
    progress = partial(track, label=f"baselines: {name}", unit=" blocks")
    return mean_scores(evaluate_retrieval(vectors, manifest.labels, queries, gallery, prepare, progress).scores)


def find_originals(
    name: str, vectors: np.ndarray, prepare: Prepare, manifest: Manifest, rows: np.ndarray, edited: np.ndarray
) -> dict[str, float]:
    """Find the originals of edited test images, (n, edits, …), among all images."""
    progress = partial(track, label=f"baselines: {name}", unit=" blocks")
    queries, originals = np.concatenate(edited), np.repeat(rows, edited.shape[1])
    return shares_found(ranks_of_originals(queries, originals, vectors, manifest.contents, prepare, progress))


if __name__ == "__main__":
    run_stage(main)
