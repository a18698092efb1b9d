"""Stage `featurize`: run the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite
from pipeline.stage import counted, run_stage, track

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from similarity.data.cluster import is_cluster_named
from similarity.data.content_cache import ContentCache, cache_limit_gb
from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.computing import (
    cached_features,
    compute_features,
    compute_features_on_cluster,
    fingerprint,
)
from similarity.data.features.extractor import describe
from similarity.data.files import Outputs, write_scattered_array
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST
from similarity.params import Params

CACHE = user_cache_path("image-similarity") / "features"


def main(params: Params, outputs: Outputs) -> None:
    manifest, width, batch_size = read_manifest(MANIFEST), describe(BACKBONE)["features"], params.backbone.batch_size
    maker = fingerprint(BACKBONE, batch_size)
    run = partial(compute_features, folder=BACKBONE, batch_size=batch_size)
    if is_cluster_named():
        run = partial(compute_features_on_cluster, folder=BACKBONE, batch_size=batch_size, expected=maker)
    files, digests = [IMAGES / key for key in manifest.keys], [record.sha256 for record in manifest.records]
    damaged, computed = list[int](), 0

    def compute(files: Sequence[Path], digests: Sequence[str]) -> Iterable[np.ndarray]:
        nonlocal computed
        computed = len(files)
        return track(run(files, digests), "featurize", -(-computed // batch_size), " batches")

    def blocks(cache: ContentCache) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows, features in cached_features(files, digests, compute, width, cache):
            damaged.extend(rows[~np.isfinite(features).all(axis=1)])
            yield rows, features

    with closing(ContentCache(CACHE, maker, limit := cache_limit_gb())) as cache:
        write_scattered_array(outputs.file(FEATURES), (len(files), width), blocks(cache))
    if limit and cache.problem:
        print(f"warning: {CACHE} is not used: {cache.problem}", file=sys.stderr)
    check_finite(FEATURES, np.sort(damaged), manifest)
    print(f"featurize: {width:,} features of each of {counted(len(files), 'image')}, {computed} images computed")


if __name__ == "__main__":
    run_stage(main)
