from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import relu_clusters, true_cosines
from similarity.dataset.manifest import ImageRecord, Manifest
from similarity.index.backends import AnnIndex, AnnoyForest, FaissGraph
from similarity.index.parts import LookUnavailableError, Parts
from similarity.index.searcher import Searcher, UnknownNameError
from similarity.index.vector_stores import Index, InMemoryStore
from similarity.vectors import normalize

CLASSES = ("basalt", "marble", "schist")
IMAGES = 300


def store_of(embeddings: np.ndarray, index: AnnIndex) -> InMemoryStore:
    return InMemoryStore(normalize(embeddings), index, None, Parts(embeddings.shape[1], 20, 0.3))


def make_searcher(embeddings: np.ndarray) -> Searcher:
    records = [
        ImageRecord(f"{CLASSES[3 * i // IMAGES]}/{i:03d}.png", CLASSES[3 * i // IMAGES], "0" * 64, 8, 8)
        for i in range(IMAGES)
    ]
    return Searcher(Manifest(records), store_of(embeddings, AnnoyForest.build(embeddings, 5, 0)))


EMBEDDINGS = relu_clusters(IMAGES)
SEARCHER = make_searcher(EMBEDDINGS)


@given(
    row=st.integers(0, IMAGES - 1),
    count=st.integers(1, 400),
    label=st.sampled_from([None, *CLASSES]),
    index=st.sampled_from(["exact", "annoy"]),
)
def test_as_many_images_of_the_class_are_found_as_there_are_without_the_image_itself(
    row: int, count: int, label: str | None, index: Index
) -> None:
    record = SEARCHER.manifest.records[row]
    found = SEARCHER.similar_to_row(row, count, label, index)
    available = (IMAGES if label is None else IMAGES // 3) - (label in {None, record.label})
    assert len({neighbor.key for neighbor in found.neighbors}) == min(count, available)
    assert record.path not in {neighbor.key for neighbor in found.neighbors}
    assert {neighbor.label for neighbor in found.neighbors} <= ({label} if label else set(CLASSES))
    cosines = [neighbor.cosine for neighbor in found.neighbors]
    assert cosines == sorted(cosines, reverse=True)
    assert (found.index, found.seconds >= 0) == (index, True)


def searcher_of(sizes: list[int], build: Callable[..., AnnIndex]) -> tuple[Searcher, np.ndarray]:
    """A searcher over classes of some sizes, and the numbers of the classes of its images."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    records = [
        ImageRecord(f"c{label:02d}/{i:04d}.png", f"c{label:02d}", "0" * 64, 8, 8) for i, label in enumerate(labels)
    ]
    embeddings = relu_clusters(len(labels))
    return Searcher(Manifest(records), store_of(embeddings, build(embeddings, 4, 0))), labels


RARE = [(build, *searcher_of([300, 1, 2, 90, 5, 1], build)) for build in (AnnoyForest.build, FaissGraph.build)]


@given(
    case=st.sampled_from(RARE),
    label=st.integers(0, 5),
    row=st.integers(0, 398),
    count=st.integers(1, 12),
    is_indexed=st.booleans(),
    exact=st.booleans(),
)
@settings(deadline=None)
def test_a_search_of_a_rare_class_gives_all_of_it_and_what_numpy_gives(
    case: tuple[object, Searcher, np.ndarray], label: int, row: int, count: int, is_indexed: bool, exact: bool
) -> None:
    _, searcher, labels = case
    index = searcher.indexes[0 if exact else 1]
    if is_indexed:
        found = searcher.similar_to_row(row, count, f"c{label:02d}", index)
    else:
        found = searcher.similar(searcher.vectors[row], count, f"c{label:02d}", index)
    members = [other for other in np.flatnonzero(labels == label) if not (is_indexed and other == row)]
    assert len(found.neighbors) == min(count, len(members))
    cosines = np.sort(searcher.vectors[np.array(members, np.int64)].astype(np.float64) @ searcher.vectors[row])[::-1][
        :count
    ]
    mine = [neighbor.cosine for neighbor in found.neighbors]
    assert {neighbor.label for neighbor in found.neighbors} <= {f"c{label:02d}"}
    if exact or len(members) <= count:  # an approximate search may miss some of a large class
        np.testing.assert_allclose(mine, cosines, atol=2e-6)
    else:
        assert (np.array(mine) <= cosines + 2e-6).all()


@pytest.mark.parametrize("index", ["exact", "annoy"])
def test_an_embedding_of_an_indexed_image_finds_that_image_first_whatever_its_length(index: Index) -> None:
    for row in range(0, IMAGES, 37):
        found = SEARCHER.similar(7 * EMBEDDINGS[row], 5, None, index)
        assert found.neighbors[0].key == SEARCHER.manifest.keys[row]
        assert found.neighbors[0].cosine == 1


def test_the_exact_search_gives_the_true_neighbors() -> None:
    order = np.argsort(-true_cosines(EMBEDDINGS, np.tile(np.arange(IMAGES), (IMAGES, 1))), axis=1, kind="stable")
    for row in range(0, IMAGES, 29):
        found = {neighbor.key for neighbor in SEARCHER.similar_to_row(row, 10, None, "exact").neighbors}
        expected = [other for other in order[row] if other != row][:10]
        assert found == {SEARCHER.manifest.keys[other] for other in expected}


@pytest.mark.parametrize("index", ["exact", "annoy"])
def test_an_embedding_of_zeros_is_similar_to_nothing_and_still_answered(index: Index) -> None:
    searcher = make_searcher(np.where(np.arange(IMAGES)[:, None] % 2, EMBEDDINGS, 0).astype(np.float32))
    for found in (searcher.similar(np.zeros(32, np.float32), 10, "marble", index), searcher.similar_to_row(0, 10)):
        assert [neighbor.cosine for neighbor in found.neighbors] == [0] * 10


def test_unknown_names_are_answered_with_the_nearest_spellings() -> None:
    with pytest.raises(UnknownNameError, match=r"no image 'marble/10\.png' is indexed; near it are: marble/10"):
        SEARCHER.row("marble/10.png")
    with pytest.raises(UnknownNameError, match="no class 'marbel' is indexed; near it are: marble"):
        SEARCHER.similar_to_row(0, 1, "marbel")
    with pytest.raises(UnknownNameError) as error:
        SEARCHER.row("x" * 1_000_000)
    assert len(str(error.value)) < 1000


def test_rows_of_a_class_are_all_of_it() -> None:
    assert [len(SEARCHER.rows(label)) for label in (None, *CLASSES)] == [300, 100, 100, 100]
    assert {SEARCHER.manifest.records[row].label for row in SEARCHER.rows("marble")} == {"marble"}


def with_parts(searcher: Searcher, class_size: int, visual_weight: float) -> Searcher:
    vectors = searcher.vectors
    assert isinstance(vectors, InMemoryStore)
    return replace(searcher, vectors=replace(vectors, parts=Parts(32, class_size, visual_weight)))


def joined(weight: float) -> tuple[Searcher, np.ndarray, np.ndarray]:
    """A searcher over embeddings of two parts, and the cosines of the parts of all pairs."""
    rng = np.random.default_rng(5)
    parts = [normalize(rng.standard_normal((IMAGES, size)).astype(np.float32)) for size in (20, 12)]
    embeddings = np.hstack([(1 - weight) ** 0.5 * parts[0], weight**0.5 * parts[1]])
    searcher = make_searcher(embeddings)
    return with_parts(searcher, 20, weight), parts[0] @ parts[0].T, parts[1] @ parts[1].T


@pytest.mark.parametrize("look", [0.0, 0.25, 0.7, 1.0])
def test_a_look_weighs_the_cosines_of_both_parts(look: float) -> None:
    searcher, kind, visual = joined(0.3)
    for row in (0, 123):
        found = searcher.similar_to_row(row, 10, look=look)
        rows = [searcher.row(neighbor.key) for neighbor in found.neighbors]
        expected = (1 - look) * kind[row] + look * visual[row]
        assert rows == [other for other in np.argsort(-expected) if other != row][:10]
        np.testing.assert_allclose([neighbor.cosine for neighbor in found.neighbors], expected[rows], atol=2e-6)
        assert found.index == "exact"


def test_the_look_of_the_embeddings_gives_what_no_look_gives() -> None:
    searcher, _, _ = joined(0.3)
    without, given = searcher.similar_to_row(8, 10), searcher.similar_to_row(8, 10, look=0.3)
    assert [neighbor.key for neighbor in given.neighbors] == [neighbor.key for neighbor in without.neighbors]


def test_a_look_is_refused_where_there_is_none_to_choose() -> None:
    searcher, _, _ = joined(0.3)
    with pytest.raises(LookUnavailableError, match="search with the exact one"):
        searcher.similar_to_row(0, 5, index="annoy", look=0.5)
    for alone in (with_parts(searcher, 32, 0.3), with_parts(searcher, 20, 0.0)):
        with pytest.raises(LookUnavailableError, match="one part only"):
            alone.similar_to_row(0, 5, look=0.5)


def test_a_look_gives_true_cosines_to_images_that_have_one_part_only() -> None:
    searcher, kind, visual = joined(0.3)
    embeddings = searcher.vectors[np.arange(IMAGES)]
    embeddings[:50, :20] = 0
    embeddings[50:100, 20:] = 0
    kind[:, :50], visual[:, 50:100] = 0, 0
    searcher = make_searcher(embeddings)
    for look in (0.0, 0.6, 1.0):
        found = searcher.similar_to_row(200, IMAGES, look=look).neighbors
        rows = [searcher.row(neighbor.key) for neighbor in found]
        expected = (1 - look) * kind[200, rows] + look * visual[200, rows]
        np.testing.assert_allclose([neighbor.cosine for neighbor in found], expected, atol=2e-6)
    assert max(neighbor.cosine for neighbor in searcher.similar_to_row(0, IMAGES, look=1).neighbors) <= 1


@given(
    row=st.integers(0, IMAGES - 1),
    count=st.integers(1, 400),
    label=st.sampled_from([None, *CLASSES]),
    index=st.sampled_from(["exact", "annoy"]),
    excluded=st.sets(st.integers(0, IMAGES - 1), max_size=20),
    every=st.integers(1, 60),
)
def test_all_that_is_allowed_is_found_and_nothing_else(
    row: int, count: int, label: str | None, index: Index, excluded: set[int], every: int
) -> None:
    allowed = np.arange(IMAGES) % every == 0
    found = SEARCHER.similar(EMBEDDINGS[row], count, label, index, allowed=allowed, excluded=sorted(excluded))
    of_class = {other for other in range(IMAGES) if label in {None, SEARCHER.manifest.records[other].label}}
    possible = (of_class & set(np.flatnonzero(allowed).tolist())) - excluded
    assert found.matches == len(possible)
    assert {neighbor.row for neighbor in found.neighbors} <= possible
    assert len(found.neighbors) == min(count, len(possible))
    assert all(SEARCHER.manifest.keys[each.row] == each.key for each in found.neighbors)


def test_a_query_of_several_images_is_as_near_to_each_of_them_in_both_parts() -> None:
    searcher, _, _ = joined(0.3)
    rows = [3, 150, 280]
    query = searcher.combine(searcher.vectors[rows] * np.array([[1], [5], [0.1]], np.float32))
    assert np.linalg.norm(query[:20]) == pytest.approx(0.7**0.5)
    for part in (slice(20), slice(20, None)):
        mean = normalize(searcher.vectors[rows][:, part]).mean(axis=0)
        np.testing.assert_allclose(normalize(query[None, part])[0], normalize(mean[None])[0], atol=1e-6)
    assert {each.row for each in searcher.similar(query, 3).neighbors} == set(rows)


def test_what_is_liked_draws_a_query_near_and_what_is_not_pushes_it_away() -> None:
    searcher, _, _ = joined(0.3)
    query, liked, unliked = searcher.vectors[[0]], 100, 200
    nearer, farther = searcher.combine(query, like=[liked]), searcher.combine(query, unlike=[unliked])
    assert nearer @ searcher.vectors[liked] > query[0] @ searcher.vectors[liked]
    assert farther @ searcher.vectors[unliked] < query[0] @ searcher.vectors[unliked]
    assert nearer @ query[0] > nearer @ searcher.vectors[liked]
    np.testing.assert_array_equal(searcher.combine(query), query[0])
    only_liked = searcher.combine(np.empty((0, 32), np.float32), like=[liked])
    np.testing.assert_allclose(only_liked, searcher.vectors[liked], atol=1e-6)
