"""The features of image files, from the user's cache or by the backbone, here or on a cluster."""

from pipeline.stage import track

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

from platformdirs import user_cache_path

from similarity.cluster import is_cluster_named
from similarity.features.cache import FeatureCache, cache_limit
from similarity.features.computing import compute_features, compute_features_on_cluster, fingerprint
from similarity.features.extractor import Extractor
from similarity.features.lookup import FeatureBlock, cached_features
from similarity.images.protocols import ImageFile
from similarity.layout import BACKBONE

FEATURE_CACHE = user_cache_path("image-similarity") / "features" / "features.sqlite"
DEFAULT_CACHE_GB = "10"


def feature_blocks(
    files: Sequence[ImageFile], digests: Sequence[str], extractor: Extractor, batch_size: int
) -> Iterator[FeatureBlock]:
    """Gives the features of image files, shows its progress, and says if the cache could not be used."""
    limit = cache_limit(os.environ.get("IMAGE_SIMILARITY_CACHE_GB", DEFAULT_CACHE_GB))
    identity = fingerprint(BACKBONE, extractor, batch_size)
    compute = (
        partial(compute_features_on_cluster, folder=BACKBONE, batch_size=batch_size, expected=identity)
        if is_cluster_named()
        else partial(compute_features, extractor=extractor, batch_size=batch_size)
    )
    progress = partial(track, unit=" batches")
    with closing(FeatureCache(FEATURE_CACHE, identity, limit)) as cache:
        yield from cached_features(files, digests, compute, batch_size, extractor.features, cache, progress)
    if limit and cache.problem:
        print(f"warning: {FEATURE_CACHE} is not used any further: {cache.problem}", file=sys.stderr)
