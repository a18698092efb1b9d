"""Groups of images that must not be parted, such as between training and test."""

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.duplication.pairs import Pairs


def group_rows(count: int, *links: Pairs) -> np.ndarray:
    """Number the groups of rows that pairs connect, directly or not: int64 (count,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.concatenate([pairs[end] for pairs in links]) for end in (0, 1))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def bounded_groups(manifest: Manifest, identical: Pairs, near: Pairs, least: int) -> np.ndarray:
    """Group identical and nearly identical images, the latter only where that leaves a class enough groups.

    Args:
        manifest: the images.
        identical: pairs that are always kept together.
        near: pairs that are kept together unless a class would be left with fewer than `least` groups.
        least: groups that count for a class; see `Manifest.owners`.

    Returns:
        The number of each image's group, int64 (n,).
    """
    labels = manifest.labels
    groups = group_rows(len(labels), identical, near)
    scarce = np.bincount(manifest.owners(groups), minlength=len(manifest.folders)) < least
    apart = scarce[labels[near.first]] | scarce[labels[near.second]]
    if not apart.any():
        return groups
    return group_rows(len(labels), identical, Pairs(*(each[~apart] for each in near)))
