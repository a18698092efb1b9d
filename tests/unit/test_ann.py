from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samples import relu_clusters, true_cosines
from similarity.errors import UserError
from similarity.index.approximate import approximate_neighbors
from similarity.index.backends import (
    AnnIndex,
    AnnoyForest,
    FaissGraph,
    SearchSettings,
    load_index,
    load_settings,
    save_settings,
)
from similarity.index.exact import nearest_neighbors
from similarity.index.recall import recall, recall_lower_bound, smallest_search_k

EMBEDDINGS = relu_clusters(2000)
Build = Callable[..., AnnIndex]  # of embeddings, trees or links, and a seed
BACKENDS = pytest.mark.parametrize("build", [AnnoyForest.build, FaissGraph.build])


def approximate(build: Build, size: int, search_k: int | None) -> tuple[np.ndarray, np.ndarray]:
    return approximate_neighbors(build(EMBEDDINGS, size, 0), EMBEDDINGS, range(2000), 10, search_k)


@BACKENDS
def test_similarities_are_true_cosines_best_first_without_the_image_itself(build: Build) -> None:
    rows, similarities = approximate(build, 5, 50)
    np.testing.assert_allclose(similarities, true_cosines(EMBEDDINGS, rows), atol=1.1e-6)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert not (rows == np.arange(2000)[:, None]).any()


@BACKENDS
def test_recall_rises_with_search_k_up_to_one(build: Build) -> None:
    _, exact = nearest_neighbors(EMBEDDINGS, 10)
    values = [recall(approximate(build, 5, search_k)[1], exact) for search_k in (11, 200, 50_000)]
    assert values[0] < values[1] <= values[2]
    assert values[2] > 0.9995  # Annoy finds all; a graph need not lead everywhere


@BACKENDS
def test_the_same_seed_gives_the_same_file_and_another_seed_another(build: Build, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build(EMBEDDINGS, 5, seed).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@BACKENDS
def test_a_saved_index_answers_as_the_built_one(build: Build, tmp_path: Path) -> None:
    index = build(EMBEDDINGS, 5, 0)
    index.save(tmp_path / "index.ann")
    loaded = load_index(tmp_path / "index.ann", index.backend, 32)
    assert (loaded.backend, len(loaded)) == (index.backend, 2000)
    assert loaded.search(EMBEDDINGS[7], 10, 50) == index.search(EMBEDDINGS[7], 10, 50)
    np.testing.assert_array_equal(loaded.vector(7), index.vector(7))


@BACKENDS
def test_an_index_of_another_backend_or_size_is_refused(build: Build, tmp_path: Path) -> None:
    index, path = build(EMBEDDINGS, 5, 0), tmp_path / "index.ann"
    index.save(path)
    for backend, size in ((index.backend, 31), ({"annoy": "faiss", "faiss": "annoy"}[index.backend], 32)):
        with pytest.raises(UserError, match=f"not a {backend} index .* of {size} numbers"):
            load_index(path, backend, size)  # type: ignore[arg-type]  # one of the two
    with pytest.raises(FileNotFoundError):
        load_index(tmp_path / "none.ann", index.backend, 32)


@BACKENDS
def test_every_row_is_full_even_where_the_search_is_narrow_or_embeddings_are_zero(build: Build) -> None:
    embeddings = np.concatenate([relu_clusters(30), np.zeros((5, 32), np.float32)])
    rows, cosines = approximate_neighbors(build(embeddings, 2, 0), embeddings, range(35), 40, 1)
    assert all(len(set(found)) == 34 for found in rows.tolist())
    assert (cosines[33] == 0).all()


@given(
    embeddings=arrays(np.float32, st.tuples(st.integers(2, 40), st.just(3)), elements=st.integers(-2, 3)),
    power=st.integers(-25, 25),
    top_k=st.integers(1, 45),
    build=st.sampled_from([AnnoyForest.build, FaissGraph.build]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None)
def test_neighbors_are_true_ones_at_their_true_cosines_and_looking_at_all_candidates_misses_none(
    embeddings: np.ndarray, power: int, top_k: int, build: Build, seed: int
) -> None:
    """Whatever the rows are: equal, zeros, or of any size."""
    scaled = embeddings * np.float32(10.0**power)
    rows, cosines = approximate_neighbors(build(scaled, 3, seed), scaled, range(len(scaled)), top_k, 10_000)
    _, exact = nearest_neighbors(embeddings, top_k)
    assert rows.shape == cosines.shape == exact.shape
    assert all(len({*found, row}) == len(found) + 1 for row, found in enumerate(rows.tolist()))
    np.testing.assert_allclose(cosines, true_cosines(embeddings, rows), atol=2e-6)
    assert (cosines <= exact + 2e-6).all()
    if build == AnnoyForest.build:  # a graph need not lead everywhere
        assert recall(cosines, exact) == 1


def test_recall_counts_ties_as_found() -> None:
    exact = np.array([[0.9, 0.8], [0.7, 0.7]])
    assert recall(np.array([[0.8, 0.8], [0.7, 0.6]]), exact) == 0.75


def test_a_sample_hardly_ever_promises_more_recall_than_there_is() -> None:
    _, cosines = approximate(AnnoyForest.build, 3, 40)
    _, exact = nearest_neighbors(EMBEDDINGS, 10)
    rng = np.random.default_rng(0)
    promised = [recall_lower_bound(cosines[rows], exact[rows]) for rows in rng.integers(0, 2000, (200, 150))]
    assert np.mean(np.array(promised) <= recall(cosines, exact)) > 0.94
    assert np.mean(promised) > recall(cosines, exact) - 0.1


@pytest.mark.parametrize(("build", "search_k"), [(AnnoyForest.build, 110), (FaissGraph.build, 64)])
def test_search_k_has_a_default(build: Build, search_k: int) -> None:
    np.testing.assert_array_equal(approximate(build, 10, None)[0], approximate(build, 10, search_k)[0])


@given(st.integers(1, 400), st.integers(1, 300))
def test_the_smallest_search_k_is_found_or_there_is_none(needed: int, highest: int) -> None:
    found = smallest_search_k(lambda search_k: min(1, search_k / needed), 1, highest)
    assert found == (needed if needed <= highest else None)


@pytest.mark.parametrize("settings", [SearchSettings("annoy", 1000), SearchSettings("faiss", None)])
def test_settings_come_back_as_they_were_saved(settings: SearchSettings, tmp_path: Path) -> None:
    save_settings(settings, tmp_path / "index.json")
    assert load_settings(tmp_path / "index.json") == settings


@pytest.mark.parametrize("content", ["", "[1]", '{"backend":"annoy"}', '{"backend":"tree","search_k":5}'])
def test_damaged_settings_are_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="run `dvc"):
        load_settings(path)


@BACKENDS
def test_an_open_index_does_not_mind_what_happens_to_its_file(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = build(EMBEDDINGS, 5, 0)
    index.save(path)
    opened, expected = load_index(path, index.backend, EMBEDDINGS.shape[1]), index.search(EMBEDDINGS[7], 10, 500)
    path.write_bytes(b"")
    assert opened.search(EMBEDDINGS[7], 10, 500) == expected
    assert len(opened) == 2000
