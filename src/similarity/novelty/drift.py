"""Whether images that were added after a model was trained are still like what it was trained on."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from similarity.confidence import Interval, mean_interval

_MOVED, _GREW = 0.1, 0.2


class Drift(NamedTuple):
    """What is known of the images that were added, in counts, and of all.

    Attributes:
        added: how many there are.
        unlike_known: those further from all that was known than images usually are from each other.
        in_known_classes: those with a class that the model was taught.
        found_their_class: those of them whose nearest known image has their class.
        new_classes: names of classes that the model was not taught.
        class_shift: how far the shares of the classes have moved, as the total variation distance, 0…1.
    """

    added: int
    unlike_known: int
    in_known_classes: int
    found_their_class: int
    new_classes: list[str]
    class_shift: float


def class_shift(before: list[str], by_now: list[str]) -> float:
    """The total variation distance, 0…1, between the shares of the labels in two lists, none of them empty."""
    labels = sorted({*before, *by_now})
    shares = [np.array([listed.count(label) for label in labels]) / len(listed) for listed in (before, by_now)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def reasons_to_retrain(drift: Drift, known: int, unlike_expected: float, found_expected: float | None) -> Iterator[str]:
    """Says why training anew would pay, if it would; a share counts if chance does not explain it (95 % interval).

    Args:
        drift: of what was added.
        known: number of images that the model was made from.
        unlike_expected: share of images like the known ones that are unlike all others, 0…1.
        found_expected: share of the test images whose nearest image has their class; None if that cannot be told.
    """
    if drift.added and _interval(drift.unlike_known, drift.added).low > unlike_expected:
        yield (
            f"{drift.unlike_known} of {drift.added} added images are like nothing that the model was made from "
            f"(expected are {unlike_expected:.0%})"
        )
    if drift.new_classes:
        yield f"it was not taught the classes {', '.join(drift.new_classes)}"
    taught, found = drift.in_known_classes, drift.found_their_class
    if found_expected is not None and taught and _interval(found, taught).high < found_expected:
        yield f"{found} of {taught} added images find their class first (of the test images {found_expected:.0%})"
    if drift.class_shift > _MOVED:
        yield f"the shares of the classes have moved by {drift.class_shift:.0%}"
    if drift.added > _GREW * known:
        yield f"{drift.added} added images are {drift.added / known:.0%} of what it was made from"


def _interval(hits: int, count: int) -> Interval:
    return mean_interval(np.repeat([1.0, 0.0], [hits, count - hits]))
