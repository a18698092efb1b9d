"""Classes that are held out in turn, also where the source gives splits that leave nothing to ask."""

import numpy as np
import pytest

from similarity.data.evaluation.novel_classes import hold_out_classes


def splits_of(labels: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.arange(len(labels))[i::3] for i, name in enumerate(("train", "valid", "test"))}


@pytest.mark.parametrize(("classes", "parts"), [(3, 0), (4, 2), (5, 2), (10, 3)])
def test_each_class_is_held_out_once_and_never_learned_from_at_the_same_time(classes: int, parts: int) -> None:
    labels = np.repeat(np.arange(classes, dtype=np.int32), 9)
    splits = splits_of(labels)
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
