"""Approximate nearest neighbors of all rows at once, for more rows than can be compared with each other."""

import numpy as np

from similarity.vectors import normalize

_CLUSTERS_PER_ROOT = 4  # of the number of rows
_SEARCHED_CLUSTERS = 16
_TRAINING_ROWS_PER_CLUSTER = 64


def clustered_neighbors(vectors: np.ndarray, count: int) -> np.ndarray:
    """Finds rows that are similar to each row by cosine, among those in the clusters nearest to it.

    The rows are divided by k-means (the inverted file of Jégou, Douze & Schmid, "Product quantization for nearest
    neighbor search", TPAMI 2011, without compression), so that the time grows with n · √n. What is very similar is
    nearly always in the same cluster or in the next.

    Args:
        vectors: float32 (n, d).
        count: neighbors per row.

    Returns:
        Rows, int64 (n, count), the best first. A row without so many neighbors, and one of zeros, has itself instead.
    """
    import faiss

    units = normalize(vectors)
    rows = np.flatnonzero(units.any(axis=1))
    neighbors = np.repeat(np.arange(len(units))[:, None], count, axis=1)
    if len(rows) < 2:
        return neighbors
    clusters = max(1, min(int(_CLUSTERS_PER_ROOT * len(rows) ** 0.5), len(rows) // _TRAINING_ROWS_PER_CLUSTER))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(units.shape[1]), units.shape[1], clusters, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _TRAINING_ROWS_PER_CLUSTER
    index.train(units[rows])
    index.add(units[rows])
    index.nprobe = _SEARCHED_CLUSTERS
    found = index.search(units[rows], count + 1)[1]
    own = np.arange(len(rows))[:, None]
    # Itself is moved to the end, and takes the place of what was not found.
    order = np.argsort((found == own) | (found < 0), axis=1, kind="stable")
    sorted_found = np.take_along_axis(np.where(found < 0, own, found), order, axis=1)[:, :count]
    neighbors[rows] = rows[sorted_found]
    return neighbors
