"""Stage `featurize`: run the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite, user_cache
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

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
    path, computed = outputs.file(FEATURES), 0

    def compute(files: Sequence[Path], digests: Sequence[str]) -> Iterable[np.ndarray]:
        nonlocal computed
        computed = len(files)
        batches = compute_features(files, digests, BACKBONE, batch_size, ranges)
        return track(batches, "featurize", -(-computed // batch_size), " batches")

    with user_cache("features", fingerprint(BACKBONE, batch_size, ranges)) as cache:
        write_scattered_array(path, (len(files), width), cached_features(files, digests, compute, width, cache))
    check_finite(np.load(path, mmap_mode="r"), manifest, "the backbone cannot compare them: leave them out")
    print(f"featurize: {width:,} features of each of {counted(len(files), 'image')}, {computed} images computed")


if __name__ == "__main__":
    run_stage(main)
