"""Features of image files, from the cache where they are in it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from similarity.features.cache import FeatureCache
from similarity.images.protocols import ImageFile


class FeatureBlock(NamedTuple):
    """Features of some images: which ones, int64 (b,), float32 (b, D), and whether they had to be computed."""

    rows: np.ndarray
    features: np.ndarray
    is_computed: bool


def cached_features(
    files: Sequence[ImageFile],
    digests: Sequence[str],
    compute: Callable[[Sequence[ImageFile], Sequence[str]], Iterator[np.ndarray]],
    batch_size: int,
    width: int,
    cache: FeatureCache,
    progress: Callable[[Iterable, str], Iterable] = lambda items, _: items,
) -> Iterator[FeatureBlock]:
    """Gives the features of image files in any order: first those in the cache, then the others, which it keeps.

    Numbers that are not finite are given, and not kept.

    Args:
        files: of the images.
        digests: the SHA-256 of the content of each, in hexadecimal.
        compute: gives the features of files with some digests, in blocks of a batch.
        batch_size: images per batch.
        width: features per image, D.
        cache: of features that come about in this way.
        progress: wraps the iteration over blocks that are looked up, and over batches; gets a label.
    """
    missing = np.ones(len(files), bool)
    for found in progress(cache.find(digests, width), "look up"):
        missing[found.rows] = False
        yield FeatureBlock(found.rows, found.features, is_computed=False)
    rows, wanted = np.flatnonzero(missing), list(compress(digests, missing))
    blocks = compute(list(compress(files, missing)), wanted)
    starts = range(0, len(rows), batch_size)
    for start, features in zip(progress(starts, "featurize"), blocks, strict=True):
        finite = np.isfinite(features).all(axis=1)
        cache.add(list(compress(wanted[start : start + batch_size], finite)), features[finite])
        yield FeatureBlock(rows[start : start + batch_size], features, is_computed=True)
