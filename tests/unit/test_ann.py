from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samples import relu_clusters, true_cosines
from similarity.data.vectors import nearest_neighbors
from similarity.index import (
    approximate_neighbors,
    build_forest,
    default_search_k,
    load_forest,
    recall,
    smallest_search_k,
)

EMBEDDINGS = relu_clusters(1000)


def approximate(trees: int, search_k: int | None) -> tuple[np.ndarray, np.ndarray]:
    forest = build_forest(EMBEDDINGS, trees, 0)
    return approximate_neighbors(forest, EMBEDDINGS, np.arange(1000), 10, search_k or default_search_k(forest, 11))


def test_recall_rises_with_search_k_up_to_one_and_with_trees_at_the_default() -> None:
    _, exact = nearest_neighbors(EMBEDDINGS, 10)
    for ways in (((5, 11), (5, 100), (5, 5_000)), ((1, None), (2, None), (5, None))):
        first, second, third = (recall(approximate(*each)[1], exact) for each in ways)
        assert first < second < third
    assert recall(approximate(5, 5_000)[1], exact) == 1
    np.testing.assert_array_equal(approximate(10, None)[0], approximate(10, 4 * 10 * 11)[0])


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_forest(EMBEDDINGS, 5, seed).save(str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    loaded = load_forest(tmp_path / "a", 32)
    (tmp_path / "a").unlink()  # a file that replaces it is not seen
    built = build_forest(EMBEDDINGS, 5, 1)
    assert loaded.get_nns_by_vector(EMBEDDINGS[7], 10, 50) == built.get_nns_by_vector(EMBEDDINGS[7], 10, 50)


@given(
    embeddings=arrays(np.float32, st.tuples(st.integers(2, 40), st.just(3)), elements=st.integers(-2, 3)),
    power=st.integers(-25, 25),
    top_k=st.integers(1, 45),
    search_k=st.sampled_from([1, 10_000]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=40)
def test_neighbors_have_their_true_cosines_and_enough_candidates_miss_none(
    embeddings: np.ndarray, power: int, top_k: int, search_k: int, seed: int
) -> None:
    """Whatever the rows are: equal, zeros, or of any size."""
    scaled = embeddings * np.float32(10.0**power)
    forest = build_forest(scaled, 3, seed)
    rows, cosines = approximate_neighbors(forest, scaled, np.arange(len(scaled)), top_k, search_k)
    _, exact = nearest_neighbors(embeddings, top_k)
    assert rows.shape == cosines.shape == exact.shape
    assert all(len({*found, row}) == len(found) + 1 for row, found in enumerate(rows.tolist()))
    np.testing.assert_allclose(cosines, true_cosines(embeddings, rows), atol=2e-6)
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert (cosines <= exact + 2e-6).all()
    assert search_k == 1 or recall(cosines, exact) == 1


@given(st.integers(1, 400), st.integers(1, 300))
def test_the_smallest_search_k_is_found_or_there_is_none(needed: int, highest: int) -> None:
    found = smallest_search_k(lambda search_k: min(1, search_k / needed), 1, highest)
    assert found == (needed if needed <= highest else None)
