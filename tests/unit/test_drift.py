"""Retraining is advised where what was added differs from what was known, and not where chance explains it."""

import pytest

from similarity.novelty.drift import Drift, class_shift, reasons_to_retrain

CALM = Drift(added=50, unlike_known=1, in_known_classes=50, found_their_class=48, new_classes=[], class_shift=0.02)


def reasons(drift: Drift) -> list[str]:
    return list(reasons_to_retrain(drift, known=1000, unlike_expected=0.02, found_expected=0.95))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unlike_known": 9}, ["9 of 50 added images are like nothing that the model was made from (expected are 2%)"]),
        ({"unlike_known": 3}, []),
        ({"found_their_class": 30}, ["30 of 50 added images find their class first (of the test images 95%)"]),
        ({"found_their_class": 45}, []),
        ({"new_classes": ["slate", "tuff"]}, ["it was not taught the classes slate, tuff"]),
        ({"class_shift": 0.25}, ["the shares of the classes have moved by 25%"]),
        ({"added": 201, "unlike_known": 4}, ["201 added images are 20% of what it was made from"]),
        ({}, []),
        ({"added": 0, "unlike_known": 0, "in_known_classes": 0, "found_their_class": 0}, []),
    ],
)
def test_what_differs_is_said_in_figures(changed: dict, said: list[str]) -> None:
    assert reasons(CALM._replace(**changed)) == said


def test_without_classes_none_are_expected_to_be_found() -> None:
    assert not list(reasons_to_retrain(CALM._replace(found_their_class=0), 1000, 0.02, None))


def test_a_shift_is_the_share_that_would_have_to_change_its_class() -> None:
    assert class_shift(["a", "b"], ["b", "a", "a", "b"]) == 0
    assert class_shift(["a", "b"], ["a", "a", "a", "b"]) == pytest.approx(0.25)
    assert class_shift(["a"], ["b"]) == 1
