"""Scores of rankings are those of plain comparisons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baselines import draw_by_content
from similarity.data import vectors as vectors_module
from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.data.evaluation.retrieval import (
    evaluate_retrieval,
    hold_out_classes,
    ranks_of_originals,
    sample_queries,
    score,
)
from similarity.data.vectors import normalize


def test_scores_of_a_worked_example() -> None:
    # Of R = 4, hits at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 4
    scores = score(np.array([[1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1]], bool), np.array([4]))
    assert [value.tolist() for value in scores] == [[1], [0.75], [pytest.approx((1 + 2 / 3 + 3 / 4) / 4)]]


def slow_map_at_r(similarities: np.ndarray, labels: np.ndarray, label: int) -> float:
    order = sorted(range(len(labels)), key=lambda j: (-round(float(similarities[j]), 6), j))
    r = int((labels == label).sum())
    hits = [labels[j] == label for j in order[:r]]
    return sum(sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]) / r


@given(arrays(np.float32, (30, 3), elements=st.integers(0, 3)), arrays(np.int32, 30, elements=st.integers(0, 2)))
@settings(deadline=None, max_examples=50)
def test_scores_are_those_of_the_slow_way_and_no_image_is_its_own_neighbor(
    vectors: np.ndarray, labels: np.ndarray
) -> None:
    labels[:3] = [0, 1, 2]
    gallery, queries = np.arange(20), np.arange(10, 30)
    _, scores, nearest, cosines = evaluate_retrieval(vectors, labels, queries, gallery)
    similarities = normalize(vectors)[queries] @ normalize(vectors)[gallery].T
    is_other = queries[:, None] != gallery
    similarities[~is_other] = -2
    np.testing.assert_allclose(np.take_along_axis(similarities, nearest, axis=1), cosines, atol=1e-6)
    np.testing.assert_allclose(cosines, -np.sort(-similarities, axis=1)[:, :10], atol=1e-5)
    slow = [
        slow_map_at_r(row[others], labels[gallery][others], label)
        for row, others, label in zip(similarities, is_other, labels[queries], strict=True)
    ]
    np.testing.assert_allclose(scores["map_at_r"], slow)


@given(arrays(np.int32, st.integers(1, 60), elements=st.integers(0, 4)), st.integers(1, 70), st.integers(0, 9))
@settings(deadline=None)
def test_a_sample_has_each_class_in_proportion_and_grows_without_changing(
    labels: np.ndarray, count: int, seed: int
) -> None:
    rows = 100 + 2 * np.arange(len(labels))
    drawn = sample_queries(rows, labels, count, seed)
    chosen = labels[(drawn - 100) // 2]
    classes, sizes = np.unique(labels, return_counts=True)
    assert len(drawn) == min(len(labels), max(count, len(classes)))
    assert (np.diff(drawn) > 0).all()
    for label, size in zip(classes, sizes, strict=True):
        share = len(drawn) * size / len(labels)
        assert max(1, share - len(classes)) <= (chosen == label).sum() <= share + len(classes)
    assert set(drawn) <= set(sample_queries(rows, labels, count + 1, seed))


@given(arrays(np.float32, (12, 3), elements=st.integers(-3, 3)), arrays(np.int64, 5, elements=st.integers(0, 11)))
@settings(deadline=None)
def test_ranks_are_those_of_sorting_all_images(gallery: np.ndarray, originals: np.ndarray) -> None:
    queries = gallery[originals] + np.array([1, 0, -1], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors_module, "_ROWS_PER_BLOCK", 5)
        ranks = ranks_of_originals(queries, originals, gallery, np.arange(12))
    cosines = normalize(queries) @ normalize(gallery).T
    own = cosines[np.arange(5), originals]
    np.testing.assert_array_equal(ranks, (cosines > own[:, None] - 1e-5).sum(axis=1))


def test_an_identical_copy_does_not_push_the_original_back_and_the_same_vector_for_all_finds_none() -> None:
    gallery = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]]
    assert ranks_of_originals(gallery[[2]], np.array([2]), gallery, np.array([0, 1, 1, 2])).tolist() == [1]
    for same in (np.empty((30, 0), np.float32), np.zeros((30, 4), np.float32), np.ones((30, 4), np.float32)):
        assert ranks_of_originals(same[:2], np.array([0, 29]), same, np.arange(30)).tolist() == [30, 30]


@pytest.mark.parametrize(("classes", "parts"), [(3, 0), (4, 2), (5, 2), (10, 3)])
def test_each_class_is_held_out_once_and_never_learned_from_at_the_same_time(classes: int, parts: int) -> None:
    labels = np.repeat(np.arange(classes, dtype=np.int32), 9)
    splits = {name: np.arange(len(labels))[i::3] for i, name in enumerate(("train", "valid", "test"))}
    folds = hold_out_classes(labels, classes, splits)
    assert len(folds) == parts
    held_out = [set(labels[fold.novel].tolist()) for fold in folds]
    assert sorted(label for each in held_out for label in each) == list(range(classes)) * bool(parts)
    for fold, novel in zip(folds, held_out, strict=True):
        for rows, split in ((fold.train, "train"), (fold.valid, "valid"), (fold.novel[fold.queries], "test")):
            assert set(rows.tolist()) <= set(splits[split].tolist())
        assert not novel & set(labels[np.concatenate([fold.train, fold.valid])].tolist())
    for empty in ("test", "valid"):  # without images to ask, or to choose by, nothing is measured
        assert hold_out_classes(labels, classes, {**splits, empty: np.empty(0, np.int64)}) == []


def test_images_to_edit_are_the_same_after_others_were_added() -> None:
    records = [ImageRecord(f"{i % 3}/{i:03d}.png", str(i % 3), f"{i}", 8, 8) for i in range(600)]
    before, after = (Manifest(sorted(each)) for each in (records[:500], records))
    drawn, again = (
        {each.records[row].sha256 for row in draw_by_content(each, np.arange(len(each.records)), 100, 0)}
        for each in (before, after)
    )
    assert len(drawn) == len(again) == 100
    assert len({digest for digest in again - drawn if int(digest) < 500}) <= 3  # all else that is new was added
