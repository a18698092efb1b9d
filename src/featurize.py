"""Stage `featurize`: runs the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite
from pipeline.stage import counted, run_stage, track

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial

import numpy as np
from platformdirs import user_cache_path

from similarity.cluster import is_cluster_named
from similarity.content_cache import ContentCache, cache_limit_gb
from similarity.dataset.manifest import read_manifest
from similarity.features.computing import cached_features, compute_features, compute_features_on_cluster, fingerprint
from similarity.features.extractor import describe
from similarity.files import Outputs, write_scattered_array
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST
from similarity.params import Params

CACHE = user_cache_path("image-similarity") / "features"


def main(params: Params, outputs: Outputs) -> None:
    manifest, width, batch_size = read_manifest(MANIFEST), describe(BACKBONE)["features"], params.backbone.batch_size
    maker = fingerprint(BACKBONE, batch_size)
    compute = partial(compute_features, folder=BACKBONE, batch_size=batch_size)
    if is_cluster_named():
        compute = partial(compute_features_on_cluster, folder=BACKBONE, batch_size=batch_size, expected=maker)
    files, digests = [IMAGES / key for key in manifest.keys], [record.sha256 for record in manifest.records]
    damaged, computed = np.zeros(len(files), bool), 0

    def progress(blocks: Iterable[np.ndarray], images: int) -> Iterable[np.ndarray]:
        return track(blocks, "featurize", -(-images // batch_size), " batches")

    def blocks(cache: ContentCache) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal computed
        for rows, features, is_computed in cached_features(files, digests, compute, width, cache, progress):
            damaged[rows] = ~np.isfinite(features).all(axis=1)
            computed += is_computed * len(rows)
            yield rows, features

    with closing(ContentCache(CACHE, maker, limit := cache_limit_gb())) as cache:
        write_scattered_array(outputs.file(FEATURES), (len(files), width), blocks(cache))
    if limit and cache.problem:
        print(f"warning: {CACHE} is not used: {cache.problem}", file=sys.stderr)
    check_finite(FEATURES, np.flatnonzero(damaged), manifest)
    print(f"featurize: {width:,} features of each of {counted(len(files), 'image')}, {computed} images computed")


if __name__ == "__main__":
    run_stage(main)
