from pathlib import Path

import numpy as np
from annoy import AnnoyIndex

from samples import relu_clusters, true_cosines
from similarity.ann import approximate_neighbors, build_index, recall
from similarity.neighbors import nearest_neighbors

EMBEDDINGS = relu_clusters(2000)


def approximate(trees: int, search_k: int | None) -> tuple[np.ndarray, np.ndarray]:
    index = build_index(EMBEDDINGS, trees, seed=0)
    rows, similarities = zip(*approximate_neighbors(index, EMBEDDINGS, range(2000), 10, search_k), strict=True)
    return np.array(rows), np.array(similarities)


def test_similarities_are_true_cosines_best_first_without_the_image_itself() -> None:
    rows, similarities = approximate(5, 50)
    np.testing.assert_allclose(similarities, true_cosines(EMBEDDINGS, rows), atol=1.1e-6)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert not (rows == np.arange(2000)[:, None]).any()


def test_recall_rises_with_search_k_up_to_one() -> None:
    _, exact = nearest_neighbors(EMBEDDINGS, 10)
    values = [recall(approximate(5, search_k)[1], exact) for search_k in (11, 200, 50_000)]
    assert values[0] < values[1] < values[2] == 1


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_index(EMBEDDINGS, 5, seed).save(str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_saved_index_answers_as_the_built_one(tmp_path: Path) -> None:
    index = build_index(EMBEDDINGS, 5, 0)
    index.save(str(tmp_path / "index.ann"))
    loaded = AnnoyIndex(32, "angular")
    loaded.load(str(tmp_path / "index.ann"))
    assert loaded.get_nns_by_item(7, 10) == index.get_nns_by_item(7, 10)


def test_every_row_is_full_even_where_the_search_is_narrow_or_embeddings_are_zero() -> None:
    embeddings = np.concatenate([relu_clusters(30), np.zeros((5, 32), np.float32)])
    index = build_index(embeddings, 1, 0)
    found = list(approximate_neighbors(index, embeddings, range(35), 40, 1))
    assert all(len(rows) == 34 for rows, _ in found)
    assert (found[33][1] == 0).all()


def test_recall_counts_ties_as_found() -> None:
    exact = np.array([[0.9, 0.8], [0.7, 0.7]])
    assert recall(np.array([[0.8, 0.8], [0.7, 0.6]]), exact) == 0.75


def test_the_default_search_k_is_trees_times_neighbors() -> None:
    np.testing.assert_array_equal(approximate(10, None)[0], approximate(10, 110)[0])
