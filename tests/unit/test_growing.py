"""Neighbors after images came and went are those that a search of all would give."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samples import relu_clusters
from similarity.index import growing
from similarity.index.approximate import approximate_neighbors
from similarity.index.backends import AnnoyForest, FaissGraph, Searchable
from similarity.index.exact import nearest_neighbors, neighbors_of_rows
from similarity.index.growing import NeighborLists, grow_neighbors
from similarity.index.grown import GrownIndex
from similarity.vectors import normalize

ADDED, REMOVED, KEPT = "added", "removed", "kept"
fates = st.lists(st.sampled_from([KEPT, KEPT, ADDED, REMOVED]), min_size=2, max_size=25)


def grow(embeddings: np.ndarray, fate: np.ndarray, top_k: int) -> NeighborLists:
    """The lists after growth: of the rows that are not removed, from those of the rows that were not added."""
    before, by_now = np.flatnonzero(fate != ADDED), np.flatnonzero(fate != REMOVED)
    origins = np.where(fate == ADDED, -1, np.cumsum(fate != ADDED) - 1)[by_now]
    units, count = normalize(embeddings[by_now]), min(top_k, len(by_now) - 1)
    lists = NeighborLists(*nearest_neighbors(embeddings[before], top_k))
    return grow_neighbors(units, origins, lists, count, partial(neighbors_of_rows, units, count=count))


# Small whole numbers give many exact ties, and rows of zeros.
@given(fates, st.integers(1, 30), st.sampled_from([1, 5, 1000]), st.data())
@settings(deadline=None)
def test_exact_neighbors_after_growth_are_those_of_all_rows_compared_with_all(
    drawn: list[str], top_k: int, values_per_block: int, data: st.DataObject
) -> None:
    fate = np.array([KEPT, KEPT, *drawn])
    embeddings = data.draw(arrays(np.float32, (len(fate), 3), elements=st.integers(-1, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "_SIMILARITIES_PER_BLOCK", values_per_block)
        patch.setattr(growing, "_PAIRS_PER_BLOCK", values_per_block)
        found = grow(embeddings, fate, top_k)
    for ours, expected in zip(found, nearest_neighbors(embeddings[fate != REMOVED], top_k), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("added", [1, 300])
def test_neighbors_of_thousands_after_growth_have_the_same_bits(added: int) -> None:
    embeddings = relu_clusters(3000)
    embeddings[100:200] = embeddings[0]
    fate = np.full(3000, KEPT, dtype="<U7")
    drawn = np.random.default_rng(0).permutation(3000)
    fate[drawn[:added]], fate[drawn[added : 2 * added]] = ADDED, REMOVED
    found, expected = grow(embeddings, fate, 10), nearest_neighbors(embeddings[fate != REMOVED], 10)
    assert [each.tobytes() for each in found] == [each.tobytes() for each in expected]


@pytest.fixture(scope="module", params=[AnnoyForest, FaissGraph])
def grown(request: pytest.FixtureRequest) -> tuple[Searchable, np.ndarray, np.ndarray]:
    """An index of 1,500 rows, 100 of them removed and 500 added since; the units by now, and the rows of the added."""
    embeddings, rng = relu_clusters(2000), np.random.default_rng(0)
    added = np.sort(rng.permutation(2000)[:500])
    before = np.setdiff1d(np.arange(2000), added)
    removed = before[rng.permutation(1500)[:100]]
    by_now = np.setdiff1d(np.arange(2000), removed)
    rows = np.where(np.isin(before, removed), -1, np.searchsorted(by_now, before))
    units = normalize(embeddings[by_now])
    built = request.param.build(embeddings[before], 10, 0)
    return GrownIndex(built, rows, units), units, np.searchsorted(by_now, added)


def test_a_grown_index_finds_what_was_added_and_nothing_that_was_removed(
    grown: tuple[Searchable, np.ndarray, np.ndarray],
) -> None:
    index, units, added = grown
    rows, cosines = approximate_neighbors(index, units, np.arange(len(units)), 10, 5000)
    expected, exact = nearest_neighbors(units, 10)
    assert (cosines >= exact - 1e-6).mean() > 0.99
    assert np.isin(expected, added).mean() > 0.2
    assert all(len(set(found)) == 10 for found in rows.tolist())


def test_what_was_added_is_found_however_few_candidates_are_looked_at(
    grown: tuple[Searchable, np.ndarray, np.ndarray],
) -> None:
    index, units, added = grown
    assert all(index.search(units[row], 1, 1) == [row] for row in added.tolist())
