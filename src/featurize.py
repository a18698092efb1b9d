"""Stage `featurize`: run the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite, user_cache
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterator

import numpy as np

from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import Manifest, read_manifest
from similarity.data.features.computing import cached_features, compute_features, fingerprint
from similarity.data.features.extractor import describe
from similarity.data.files import Outputs, write_scattered_array
from similarity.data.images.wide import Ranges, read_ranges
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST, RANGES
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest, ranges, batch_size = read_manifest(MANIFEST), read_ranges(RANGES), params.backbone.batch_size
    path, width = outputs.file(FEATURES), describe(BACKBONE)["features"]
    missing = np.ones(len(manifest.keys), bool)
    with user_cache("features", fingerprint(BACKBONE, batch_size, ranges)) as cache:
        blocks = features_of(manifest, ranges, batch_size, width, cache, missing)
        write_scattered_array(path, (len(missing), width), blocks)
    check_finite(np.load(path, mmap_mode="r"), manifest, "the backbone cannot compare them: leave them out")
    images = counted(len(missing), "image")
    print(f"featurize: {width:,} features of each of {images}, {missing.sum()} images computed")


def features_of(
    manifest: Manifest, ranges: Ranges, batch_size: int, width: int, cache: ContentCache, missing: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows, int64 (n,), and their features, float32 (n, width), each once: first those in the cache.

    `missing`, bool (N,), is set to the images that were not in it. Features with a number that is not finite are not
    kept there.
    """
    digests = [record.sha256 for record in manifest.records]
    for rows, features in cached_features(digests, width, cache):
        missing[rows] = False
        yield rows, features
    rows = np.flatnonzero(missing)
    files, wanted = [IMAGES / manifest.keys[row] for row in rows], [digests[row] for row in rows]
    batches, start = compute_features(files, wanted, BACKBONE, batch_size, ranges), 0
    for features in track(batches, "featurize", -(-len(rows) // batch_size), " batches"):
        block = slice(start, start := start + len(features))
        by_digest = zip(wanted[block], features, strict=True)
        cache.put_many({digest: row.tobytes() for digest, row in by_digest if np.isfinite(row).all()})
        yield rows[block], features


if __name__ == "__main__":
    run_stage(main)
