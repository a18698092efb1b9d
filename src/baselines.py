"""Stage `baselines`: edit some test images, and measure what colors, pixels and bare features alone find.

None of it depends on the training, so experiments with it do not run this stage.
"""

from pipeline.inputs import load_rows, user_cache
from pipeline.stage import counted, run_stage, track

from hashlib import sha256
from pathlib import Path

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import ImageRecord, Manifest, read_manifest, read_splits
from similarity.data.dataset.scanning import HISTOGRAM_BINS, THUMBNAIL_SIZE
from similarity.data.evaluation import retrieval
from similarity.data.features.computing import fingerprint
from similarity.data.features.extractor import describe, load_extractor
from similarity.data.files import Outputs, write_array, write_metrics
from similarity.data.images.decoding import read_image_file
from similarity.data.images.pixels import EDITS, centered_pixels, color_histogram, count_values, edit, resize, thumbnail
from similarity.data.images.wide import read_ranges
from similarity.data.parallel import ordered_map
from similarity.data.vectors import standardization
from similarity.params import Params

EDITED_IMAGES = 300
QUERIES = 1000  # features and pixels are much longer than embeddings, and slower to compare
LARGE, EDITED_IN_LARGE = 5000, 100  # images above which the originals of fewer are looked for
HISTOGRAM, PIXELS = 3 * HISTOGRAM_BINS, 3 * THUMBNAIL_SIZE**2  # numbers of an image


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
    rows = draw_by_content(manifest, splits["test"], EDITED_IMAGES, seed)
    sought = draw_by_content(manifest, rows, EDITED_IN_LARGE, seed) if len(manifest.records) > LARGE else rows
    described = edit_images([manifest.records[row] for row in rows])
    edited = dict(zip(vectors, np.split(described, [HISTOGRAM, HISTOGRAM + PIXELS], axis=2), strict=True))
    figures: dict[str, dict[str, float]] = {name: {} for name in vectors}
    for name, array in track(vectors.items(), "baselines: compare", unit=" kinds of vectors"):
        if manifest.can_teach:  # scored as `evaluate` scores the embeddings
            test, gallery = (manifest.labeled(splits[split]) for split in ("test", "train"))
            queries = retrieval.sample_queries(test, manifest.labels[test], QUERIES, seed)
            found = retrieval.evaluate_retrieval(array, manifest.labels, queries, gallery, prepare[name])
            figures[name] |= retrieval.means(found.scores)
        queries, originals = np.concatenate(edited[name][np.isin(rows, sought)]), np.repeat(sought, len(EDITS))
        ranks = retrieval.ranks_of_originals(queries, originals, array, manifest.contents, prepare[name])
        figures[name] |= retrieval.shares_found(ranks)
    folder = outputs.folder(layout.EDITS)
    write_array(folder / "rows.npy", rows)
    write_array(folder / "features.npy", edited["features"])
    write_metrics(outputs.file(layout.DETAILS / "baselines.json"), figures)
    print(f"baselines: {counted(len(rows), 'test image')}, each edited in {len(EDITS)} ways")
    for name, values in figures.items():
        print(f"baselines: {name}: " + ", ".join(f"{figure} {value:.4f}" for figure, value in values.items()))


def draw_by_content(manifest: Manifest, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw up to `count` of some rows by a hash of their images, so that images that are added hardly change them."""

    def place(row: int) -> bytes:
        return sha256(f"{seed} {manifest.records[row].sha256}".encode()).digest()

    ordered = np.array(sorted(rows.tolist(), key=place), np.int64)
    # From all classes, unless there are too many.
    classes = manifest.labels if len(manifest.folders) <= EDITED_IMAGES else np.zeros_like(manifest.labels)
    return retrieval.take_proportionally(ordered, classes[ordered], count)


def edit_images(records: list[ImageRecord]) -> np.ndarray:
    """Describe images after each edit, float32 (n, edits, h + p + D), unless the user's cache has it.

    A row holds the h numbers of an image's color histogram, the p of its thumbnail, and its D features.
    """
    ranges, backbone = read_ranges(layout.RANGES), describe(layout.BACKBONE)
    size, length = backbone["image_size"], len(EDITS) * (HISTOGRAM + PIXELS + backbone["features"])
    digests, code = [record.sha256 for record in records], sha256(Path(__file__).read_bytes()).hexdigest()

    def describe_edits(record: ImageRecord) -> np.ndarray:
        pixels = read_image_file(layout.IMAGES / record.path, record.sha256, size, ranges)
        edited = [edit(pixels, name) for name in EDITS]
        features = extractor(np.stack([resize(each, size) for each in edited]))
        histograms = [color_histogram(count_values(each), HISTOGRAM_BINS) for each in edited]
        thumbnails = [thumbnail(each, THUMBNAIL_SIZE).ravel() for each in edited]
        return np.hstack([histograms, thumbnails, features]).astype(np.float32)

    namespace = f"{code} {HISTOGRAM} {PIXELS} {fingerprint(layout.BACKBONE, len(EDITS), ranges)}"
    with user_cache("features", namespace) as cache:
        found = cache.get_many(digests).items()
        described = {key: np.frombuffer(value, np.float32) for key, value in found if len(value) == 4 * length}
        missing = [record for record in records if record.sha256 not in described]
        if missing:
            extractor = load_extractor(layout.BACKBONE, [len(EDITS)], throughput=True)
        computed = ordered_map(describe_edits, missing, ahead=8)
        for record, values in zip(missing, track(computed, "baselines: edit", len(missing)), strict=True):
            described[record.sha256] = values
            cache.put_many({record.sha256: values.tobytes()})
    return np.stack([described[digest].reshape(len(EDITS), -1) for digest in digests])


if __name__ == "__main__":
    run_stage(main)
