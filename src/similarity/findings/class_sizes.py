"""Classes that are too small, or much smaller than others."""

from collections.abc import Iterator, Sequence

import numpy as np

from similarity.findings.finding import Finding

_TIMES = 10  # smaller than the median class


def small_classes(classes: Sequence[str], labels: np.ndarray, judged: np.ndarray) -> Iterator[Finding]:
    """Finds classes none of whose labels could be judged, and those much smaller than the median class, if any.

    Args:
        classes: the classes' names.
        labels: class indices of the images that have one, int (n,).
        judged: whether the label of each could be judged, bool (n,).
    """
    if len(classes) < 2:
        return
    sizes = np.bincount(labels, minlength=len(classes))
    with_judged = np.bincount(labels, weights=judged, minlength=len(classes)) > 0
    usual = float(np.median(sizes))
    for label in np.argsort(sizes, kind="stable").tolist():
        size = int(sizes[label])
        if not with_judged[label]:
            too_few = "too few or too much alike to judge their labels"
            no_other = "and not two classes with enough different images to judge labels"
            reason = f"{size} images, {too_few if with_judged.any() else no_other}"
            yield Finding("class_not_judged", "", classes[label], str(size), "", "", "", reason)
        elif size * _TIMES <= usual:
            reason = f"{size} images, where the median class has {usual:g}"
            yield Finding("class_imbalance", "", classes[label], str(size), "", "", "", reason)
