"""Stage `featurize`: run the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite, user_cache
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.computing import cached_features, compute_features, fingerprint
from similarity.data.features.extractor import describe
from similarity.data.files import Outputs, write_scattered_array
from similarity.data.images.wide import read_ranges
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST, RANGES
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest, width, batch_size = read_manifest(MANIFEST), describe(BACKBONE)["features"], params.backbone.batch_size
    ranges = read_ranges(RANGES)
    files, digests = [IMAGES / key for key in manifest.keys], [record.sha256 for record in manifest.records]
    damaged, computed = list[int](), 0

    def compute(files: Sequence[Path], digests: Sequence[str]) -> Iterable[np.ndarray]:
        nonlocal computed
        computed = len(files)
        batches = compute_features(files, digests, BACKBONE, batch_size, ranges)
        return track(batches, "featurize", -(-computed // batch_size), " batches")

    def blocks(cache: ContentCache) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows, features in cached_features(files, digests, compute, width, cache):
            damaged.extend(rows[~np.isfinite(features).all(axis=1)])
            yield rows, features

    with user_cache("features", fingerprint(BACKBONE, batch_size, ranges)) as cache:
        write_scattered_array(outputs.file(FEATURES), (len(files), width), blocks(cache))
    check_finite(FEATURES, np.sort(damaged), manifest)
    print(f"featurize: {width:,} features of each of {counted(len(files), 'image')}, {computed} images computed")


if __name__ == "__main__":
    run_stage(main)
