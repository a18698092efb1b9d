"""Stage `featurize`: runs the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite
from pipeline.paths import BACKBONE, CACHE, FEATURES, IMAGES, MANIFEST
from pipeline.problems import listing_problems
from pipeline.stage import counted, run_stage, track

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import compress
from typing import NamedTuple

import numpy as np

from similarity.cluster import is_cluster_named
from similarity.dataset.manifest import Manifest, read_manifest
from similarity.features.cache import FeatureCache, cache_limit
from similarity.features.computing import compute_features, compute_features_on_cluster, fingerprint
from similarity.features.extractor import load_extractor
from similarity.files import Outputs, write_scattered_array
from similarity.images.protocols import ImageFile
from similarity.images.shards import open_images
from similarity.params import Params

FEATURE_CACHE = CACHE / "features" / "features.sqlite"
DEFAULT_CACHE_GB = "10"


class _Computation(NamedTuple):
    """How features come about: of image files with some digests, in blocks of a batch, float32 (b, width)."""

    run: Callable[[Sequence[ImageFile], Sequence[str]], Iterator[np.ndarray]]
    batch_size: int
    width: int


@listing_problems()
def main(params: Params, outputs: Outputs) -> None:
    batch_size = params.backbone.batch_size
    limit = cache_limit(os.environ.get("IMAGE_SIMILARITY_CACHE_GB", DEFAULT_CACHE_GB))
    manifest, extractor = read_manifest(MANIFEST), load_extractor(BACKBONE, (batch_size,), throughput=True)
    identity = fingerprint(BACKBONE, extractor, batch_size)
    missing, damaged = np.ones(len(manifest.records), bool), np.zeros(len(manifest.records), bool)
    with closing(FeatureCache(FEATURE_CACHE, identity, limit)) as cache:
        compute = (
            partial(compute_features_on_cluster, folder=BACKBONE, batch_size=batch_size, expected=identity)
            if is_cluster_named()
            else partial(compute_features, extractor=extractor, batch_size=batch_size)
        )
        computation = _Computation(compute, batch_size, extractor.features)
        blocks = _noting(_features(manifest, computation, cache, missing), damaged)
        write_scattered_array(outputs.file(FEATURES), (len(missing), extractor.features), blocks)
    check_finite(FEATURES, np.flatnonzero(damaged), manifest)
    if limit and cache.problem:
        print(f"warning: {FEATURE_CACHE} is not used any further: {cache.problem}", file=sys.stderr)
    print(
        f"featurize: {extractor.features:,} features of each of {counted(len(missing), 'image')}, "
        f"{missing.sum()} images computed"
    )


def _features(
    manifest: Manifest, computation: _Computation, cache: FeatureCache, missing: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gives rows and their features, first those in the cache, which are then no longer marked as missing."""
    digests = [record.sha256 for record in manifest.records]
    for found in track(cache.find(digests, computation.width), "featurize: look up", unit=" blocks"):
        missing[found.rows] = False
        yield found
    rows = np.flatnonzero(missing)
    wanted = [digests[row] for row in rows]
    images = open_images(IMAGES)
    blocks = computation.run([images / manifest.keys[row] for row in rows], wanted)
    batch_size = computation.batch_size
    starts = range(0, len(rows), batch_size)
    for start, features in zip(track(starts, "featurize: compute", unit=" batches"), blocks, strict=True):
        finite = np.isfinite(features).all(axis=1)
        cache.add(list(compress(wanted[start : start + batch_size], finite)), features[finite])
        yield rows[start : start + batch_size], features


def _noting(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], damaged: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Passes rows and their features on, and marks the rows with numbers that are not finite."""
    for rows, features in blocks:
        damaged[rows] = ~np.isfinite(features).all(axis=1)
        yield rows, features


if __name__ == "__main__":
    run_stage(main)
