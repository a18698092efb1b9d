"""Faults that were planted in a copy of the data set are found by `audit`, and few others."""

import csv
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

from projects import ROOT, Project
from samples import write_wares
from similarity.data.images.pixels import resize

CLASSES = ("bottle", "bowl", "jug", "mug", "teapot", "vase")
WRONG, EXACT, NEAR = 12, 6, 6
IMAGES_PER_CLASS = 50
# The default one, on smaller images: with the small backbone of the other tests, labels cannot be judged.
BACKBONE = {**yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["backbone"], "image_size": 128}


class Planted(NamedTuple):
    """Keys of the images with faults, and what `audit` made of them.

    `found` has the keys, or pairs of keys, of each kind of finding; `suggested` the class that each image should have.
    """

    wrong: set[str]
    exact: set[frozenset[str]]
    near: set[frozenset[str]]
    foreign: set[str]
    found: dict[str, set]
    suggested: dict[str, str]
    counts: dict[str, int]


@pytest.fixture(scope="module")
def planted(reproduced: Project, tmp_path_factory: pytest.TempPathFactory, photographs: list[np.ndarray]) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    project, images = reproduced.copy_to(folder / "project"), folder / "images"
    write_wares(images, CLASSES, IMAGES_PER_CLASS, 128)  # the small project's images are too hard to be judged
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    chosen = np.random.default_rng(0).permutation(keys)[: WRONG + EXACT + NEAR].tolist()
    wrong = {mislabel(images, key) for key in chosen[:WRONG]}
    exact = {frozenset((key, copy_of(images, key))) for key in chosen[WRONG : WRONG + EXACT]}
    near = {frozenset((key, recompress(images, key))) for key in chosen[WRONG + EXACT :]}
    foreign = {plant(images, CLASSES[i], photograph) for i, photograph in enumerate(photographs)}
    Image.new("RGB", (96, 96), "gray").save(images / "jug" / "plain.png")
    (images / "jug" / "broken.png").write_bytes(b"no image")
    project.set_params(data={"source": str(images)}, scan={"max_rejected": 0.1}, backbone=BACKBONE)
    project.run("dvc", "repro", "audit")
    with (project.folder / "data/findings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    suggested = {row["path"]: row["suggested"] for row in rows if row["suggested"]}
    found: dict[str, set] = {}
    for row in rows:
        key = frozenset((row["path"], row["other"])) if row["other"] else row["path"]
        found.setdefault(row["finding"], set()).add(key)
    counts = json.loads((project.folder / "metrics/details/audit.json").read_text(encoding="utf-8"))
    return Planted(wrong, exact, near, foreign, found, suggested, counts)


def mislabel(images: Path, key: str) -> str:
    """Move an image to the next class."""
    moved = copy_of(images, key)
    (images / key).unlink()
    return moved


def copy_of(images: Path, key: str) -> str:
    """Copy an image to the next class."""
    label, name = key.split("/")
    copied = f"{CLASSES[(CLASSES.index(label) + 1) % len(CLASSES)]}/{label}_{name}"
    shutil.copyfile(images / key, images / copied)
    return copied


def recompress(images: Path, key: str) -> str:
    saved = f"{Path(key).with_suffix('')}_again.jpg"
    with Image.open(images / key) as image:
        image.resize((120, 120)).save(images / saved, quality=85)
    return saved


def plant(images: Path, label: str, photograph: np.ndarray) -> str:
    key = f"{label}/photograph.png"
    Image.fromarray(resize(photograph, 96).astype(np.uint8)).save(images / key)
    return key


def share(part: set, whole: set) -> float:
    return len(part & whole) / len(whole)


def test_identical_and_recompressed_images_are_found_and_no_others(planted: Planted) -> None:
    assert planted.found["duplicate"] == planted.exact
    assert planted.counts["duplicate_across_classes"] == EXACT
    assert planted.found["near_duplicate"] == planted.near


def test_most_wrong_labels_are_found_with_the_right_class_and_few_others(planted: Planted) -> None:
    # a copy in another class is mislabeled as well, and so are the photographs
    wrong = planted.wrong | {key for pair in planted.exact for key in pair} | planted.foreign
    found = planted.found["wrong_label"]
    assert share(wrong, found) >= 0.8  # of 50 images per class; a twelfth would be by chance
    found = (found | planted.found["doubtful_label"]) & planted.wrong
    assert share(found, planted.wrong) >= 0.7
    right = {key for key in found if planted.suggested[key] == key.split("/")[1].split("_")[0]}
    assert share(right, found) >= 0.8


def test_foreign_plain_and_unreadable_images_are_found(planted: Planted) -> None:
    odd_ones = planted.foreign | {"jug/plain.png"}
    found = planted.found["outlier"]
    assert share(found, odd_ones) >= 0.5
    assert share(odd_ones, found) >= 0.5
    assert planted.found["odd"] == {"jug/plain.png"}
    assert planted.found["unreadable"] == {"jug/broken.png"}
