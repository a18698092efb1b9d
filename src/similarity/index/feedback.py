"""One query from several images, and from what was liked and what was not."""

import numpy as np

from similarity.vectors import normalize

_ASKED, _LIKED, _UNLIKED = 1.0, 0.75, 0.15
"""The weights of Manning, Raghavan & Schütze, "Introduction to Information Retrieval", 2008, section 9.1.1."""


def move_query(asked: np.ndarray, liked: np.ndarray, unliked: np.ndarray) -> np.ndarray:
    """Joins queries to one, and moves it towards what was liked and away from what was not.

    It is the weighted sum of three means (Rocchio, "Relevance feedback in information retrieval", 1971). In Rocchio's
    term counts negative numbers make no sense and become 0; in an embedding they do, and stay.

    Args:
        asked: the queries, float32 (a, d), of any length; none that are all zeros count.
        liked: vectors like those that are wanted, float32 (b, d).
        unliked: vectors unlike those that are wanted, float32 (c, d).

    Returns:
        The query at length 1, or all zeros, float32 (d,).
    """
    query = np.zeros((1, asked.shape[1]), np.float32)
    for weight, vectors in zip((_ASKED, _LIKED, -_UNLIKED), (asked, liked, unliked), strict=True):
        if len(vectors):
            query += weight * normalize(vectors).mean(axis=0)
    return normalize(query)[0]
