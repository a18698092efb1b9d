"""The list of images, with and without a class."""

import numpy as np

from similarity.data.dataset.manifest import ImageRecord, Manifest


def manifest_of(*labels: str) -> Manifest:
    return Manifest([ImageRecord(f"{label}/{i}.jpg", label, "", 8, 8) for i, label in enumerate(labels)])


def test_images_without_a_class_come_last_among_the_folders_and_in_no_class() -> None:
    manifest = manifest_of("a", "a", "unlabeled", "z")
    assert (manifest.classes, manifest.folders) == (["a", "z"], ["a", "z", "unlabeled"])
    assert manifest.labels.tolist() == [0, 0, 2, 1]
    assert manifest.labeled(np.array([0, 2, 3])).tolist() == [0, 3]
    assert manifest.can_teach
    assert not manifest_of("a", "a", "unlabeled").can_teach
