import numpy as np
import pytest

from similarity.findings.class_sizes import small_classes
from similarity.findings.components import principal_components
from similarity.findings.label_judge import Judgement, draw_folds, judge_labels
from similarity.vectors import standardization


def classes_of(sizes: list[int], separation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32 (n, 64), of classes around random centers, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centers = separation * rng.standard_normal((len(sizes), 64))
    return (centers[labels] + rng.standard_normal((len(labels), 64))).astype(np.float32), labels


def judge(features: np.ndarray, labels: np.ndarray) -> Judgement:
    folds = draw_folds(labels, np.arange(len(labels)), 5, 0)
    return judge_labels(principal_components(features, 256), labels, folds)


@pytest.mark.parametrize(
    ("sizes", "separation"), [([5] * 300, 1), ([600, 6], 1), ([600, 6], 3), ([8, 8], 1), ([24] * 6, 0.6), ([50] * 5, 0)]
)
def test_where_no_label_is_wrong_none_is_called_so(sizes: list[int], separation: float) -> None:
    judgement = judge(*classes_of(sizes, separation))
    assert judgement.judged.all()
    assert (judgement.wrong < 0.2).all()


@pytest.mark.parametrize("sizes", [[4, 4], [3, 3], [1, 100], [100]])
def test_what_cannot_be_judged_is_not(sizes: list[int]) -> None:
    judgement = judge(*classes_of(sizes, 1))
    assert not judgement.judged.any()
    assert not judgement.wrong.any()


def test_constant_features_and_copies_of_one_image_are_no_error() -> None:
    labels = np.repeat([0, 1], 10)
    for features in (np.ones((20, 8), np.float32), np.repeat(classes_of([1, 1], 1)[0], 10, axis=0)):
        assert np.isfinite(judge(features, labels).wrong).all()
    copies = draw_folds(labels, labels, 5, 0)  # each class is one group, and so in one fold
    assert not judge_labels(np.ones((20, 8), np.float32), labels, copies).judged.any()


def test_exchanged_labels_are_found_with_the_class_that_they_had() -> None:
    features, truth = classes_of([60] * 8, 0.7)
    rng = np.random.default_rng(1)
    exchanged = rng.choice(len(truth), 20, replace=False)
    labels = truth.copy()
    labels[exchanged] = (labels[exchanged] + rng.integers(1, 8, 20)) % 8
    judgement = judge(features, labels)
    found = np.flatnonzero(judgement.wrong > 0.5)
    assert len(set(found) & set(exchanged)) >= 18
    assert len(set(found) - set(exchanged)) <= 2
    right = np.intersect1d(found, exchanged)
    assert (judgement.suggested[right] == truth[right]).mean() > 0.9
    assert judgement.noise == pytest.approx(20 / 480, abs=0.015)


def test_classes_that_look_alike_explain_labels_that_look_wrong() -> None:
    features, labels = classes_of([100] * 4, 1)
    alike = np.where(labels == 3, 2, labels)  # classes 2 and 3 are one, whose images got either label
    rng = np.random.default_rng(2)
    alike[alike == 2] = rng.integers(2, 4, (alike == 2).sum())
    assert (judge(features, alike).wrong > 0.5).sum() <= 2


def test_folds_spread_classes_and_keep_groups_together() -> None:
    labels, groups = np.repeat([0, 1], 50), np.arange(100) // 2
    folds = draw_folds(labels, groups, 5, 0)
    assert (folds[::2] == folds[1::2]).all()
    assert all(np.bincount(folds[labels == label]).tolist() == [10] * 5 for label in (0, 1))


def test_principal_components_are_those_of_the_standardized_features() -> None:
    features, _ = classes_of([40] * 4, 1)
    mean, scale = standardization(features)
    _, values, axes = np.linalg.svd((features - mean) / scale, full_matrices=False)
    components = principal_components(features, 5)
    np.testing.assert_allclose(np.linalg.norm(components, axis=0), values[:5], rtol=1e-4)
    np.testing.assert_allclose(np.abs(components), np.abs((features - mean) / scale @ axes[:5].T), atol=1e-2)


def test_no_label_is_judged_where_there_is_none() -> None:
    none = np.empty(0, np.int64)
    judgement = judge_labels(np.empty((0, 5), np.float32), none, draw_folds(none, none, 5, 0))
    assert (len(judgement.judged), len(judgement.wrong), judgement.noise) == (0, 0, 0)
    assert list(small_classes([], none, judgement.judged)) == []


def test_small_classes_are_listed_with_the_reason() -> None:
    labels = np.repeat([0, 1, 2, 3], [200, 190, 9, 3])
    found = [
        (each.finding, each.label, each.reason) for each in small_classes(["a", "b", "c", "d"], labels, labels != 3)
    ]
    assert found == [
        ("class_not_judged", "d", "3 images, too few or too much alike to judge their labels"),
        ("class_imbalance", "c", "9 images, where the median class has 99.5"),
    ]
    one_of_two = small_classes(["a", "b"], labels[labels > 1] - 2, np.zeros(12, bool))
    assert {each.reason for each in one_of_two} == {
        f"{size} images, and not two classes with enough different images to judge labels" for size in (3, 9)
    }
    assert list(small_classes(["a"], np.zeros(5, int), np.zeros(5, bool))) == []
