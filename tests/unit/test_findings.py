"""Which labels are doubted, what is odd, and how findings are explained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from audit import small_classes
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.files import write_table
from similarity.detection import draw_folds, judge_labels, nearest_labels, odd_sizes, principal_components, weigh
from similarity.errors import UserError
from similarity.finding import Finding, explain, read_findings


def classes_of(sizes: list[int], separation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32 (n, 64), of classes around random centers, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centers = separation * rng.standard_normal((len(sizes), 64))
    return (centers[labels] + rng.standard_normal((len(labels), 64))).astype(np.float32), labels


def judge(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability that each label is wrong, and the class suggested instead; all labels can be judged."""
    folds = draw_folds(labels, np.arange(len(labels)), 0)
    assert set(folds) == set(range(5))
    return judge_labels(principal_components(features, 256, 0), labels, folds)


@pytest.mark.parametrize(
    ("sizes", "separation"), [([5] * 100, 1), ([600, 6], 1), ([8, 8], 1), ([24] * 6, 0.6), ([50] * 5, 0)]
)
def test_where_no_label_is_wrong_none_is_called_so(sizes: list[int], separation: float) -> None:
    assert (judge(*classes_of(sizes, separation))[0] < 0.2).all()


def test_classes_that_look_alike_explain_labels_that_look_wrong() -> None:
    features, labels = classes_of([100] * 4, 1)
    alike = np.where(labels == 3, 2, labels)  # classes 2 and 3 are one, whose images got either label
    alike[alike == 2] = np.random.default_rng(2).integers(2, 4, (alike == 2).sum())
    assert (judge(features, alike)[0] > 0.5).sum() <= 2


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [([4, 4], range(8)), ([1, 100], range(101)), ([100], range(100)), ([0], []), ([4, 4], [0] * 4 + [1] * 4)],
    ids=["few", "one", "one class", "nothing", "one scene a class"],
)
def test_what_cannot_be_judged_is_not(sizes: list[int], groups: Sequence[int]) -> None:
    features, labels = classes_of(sizes, 1)
    folds = draw_folds(labels, np.array(groups, int), 0)
    assert (folds == -1).all()
    assert not judge_labels(features, labels, folds)[0].any()


def test_neighbors_are_asked_without_copies() -> None:
    features, labels = classes_of([12, 12], 3)
    labels[0], features[1] = 1, features[0]  # a wrong label, and a copy of its image with the right one
    rows, groups = np.arange(24), np.array([0, 0, *range(2, 24)])
    assert nearest_labels(features, rows, labels, groups, np.array([0])).tolist() == [[0] * 10]


def test_a_label_is_called_wrong_only_if_both_witnesses_say_so() -> None:
    cases = [
        (0.95, 0, 9, "wrong_label"),
        (0.95, 3, 3, "doubtful_label"),
        (0.95, 10, 0, ""),
        (0.5, 0, 9, "doubtful_label"),
        (0.7, 3, 3, ""),
    ]
    wrong, own, suggested = np.array([case[:3] for case in cases]).T
    kinds = [case[3] for case in cases]
    assert weigh(wrong, own, suggested, 100).tolist() == kinds
    rare = ["doubtful_label" if kind == "wrong_label" else kind for kind in kinds]
    assert weigh(wrong, own, suggested, 101).tolist() == rare  # fewer than 1 % look wrong


def test_exchanged_labels_are_found_with_the_class_that_they_had() -> None:
    features, truth = classes_of([60] * 8, 0.7)
    rng, labels = np.random.default_rng(1), truth.copy()
    exchanged = rng.choice(len(truth), 20, replace=False)
    labels[exchanged] = (labels[exchanged] + rng.integers(1, 8, 20)) % 8
    wrong, suggested = judge(features, labels)
    assert wrong.max() <= 0.99
    found = np.flatnonzero(wrong > 0.5)
    assert len(set(found) & set(exchanged)) >= 18
    assert len(set(found) - set(exchanged)) <= 2
    right = np.intersect1d(found, exchanged)
    assert (suggested[right] == truth[right]).mean() > 0.9


def test_small_classes_and_odd_sizes_are_listed_with_the_reason() -> None:
    labels = np.repeat([0, 1, 2, 3], [200, 190, 9, 3])
    found = [(each.finding, each.label, each.reason) for each in small_classes(list("abcd"), labels, labels != 3)]
    assert found == [
        ("class_not_judged", "d", "3 images, too few or too much alike to judge their labels"),
        ("class_imbalance", "c", "9 images, where the median class has 99.5"),
    ]
    sizes = [(100, 80)] * 9 + [(20, 16), (400, 60), (40, 4)]
    assert odd_sizes([ImageRecord("", "", "", *size) for size in sizes])[8:] == [
        "",
        "20 × 16 pixels, much smaller than most",
        "400 × 60 pixels, of another shape than most",
        "40 × 4 pixels, much smaller than most, and of another shape than most",
    ]


def test_findings_are_explained_what_matters_most_first(tmp_path: Path) -> None:
    """One image in two classes, then labels, copies, and the rest; unknown kinds are refused."""
    two_classes = Finding("near_duplicate", "a/6.png", "a", "0.981000", "", "b/7.png", "b", "correlation")
    wrong_label = Finding("wrong_label", "a/3.png", "a", "0.931234", "b", reason="7 of 10 are")
    same_class = Finding("duplicate", "a/4.png", "a", "1.000000", "", "a/5.png", "a", "the same bytes")
    expected = {
        two_classes: "Nearly the same as b/7.png, which is of class b (correlation 0.981).",
        wrong_label: "Looks more like b (93%): 7 of 10 are.",
        same_class: "The same as a/5.png (the same bytes).",
        Finding("outlier", "a/2.png", "a", "49.72", reason="distance"): "Unlike all others (distance: 49.7).",
        Finding("odd", "a/1.png", "a", "0", reason="nearly one color"): "Nearly one color.",
    }
    path = tmp_path / "findings.csv"
    write_table(path, Finding._fields, reversed(expected))
    assert read_findings(path) == list(expected)
    assert [explain(finding) for finding in expected] == list(expected.values())
    write_table(path, Finding._fields, [("blurred", *two_classes[1:])])
    with pytest.raises(UserError, match="'blurred', which this version does not know"):
        read_findings(path)
