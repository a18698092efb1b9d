"""Faults that were planted in a copy of the data set are found by `audit`, and few others."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
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


def share(part: set, whole: set) -> float:
    return len(part & whole) / len(whole)


def test_planted_faults_are_found_and_few_others(
    reproduced: Project, tmp_path: Path, photographs: list[np.ndarray]
) -> None:
    project, images = reproduced.copy_to(tmp_path / "project"), tmp_path / "images"
    write_wares(images, CLASSES, IMAGES_PER_CLASS, 128)  # the small project's images are too hard to be judged
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    chosen = np.random.default_rng(0).permutation(keys)[: WRONG + EXACT + NEAR].tolist()
    wrong = {copy_of(images, key) for key in chosen[:WRONG]}
    for key in chosen[:WRONG]:
        (images / key).unlink()
    exact = {frozenset((key, copy_of(images, key))) for key in chosen[WRONG : WRONG + EXACT]}
    near = {frozenset((key, recompress(images, key))) for key in chosen[WRONG + EXACT :]}
    foreign = {f"{label}/photograph.png" for label, _ in zip(CLASSES, photographs, strict=False)}
    for key, photograph in zip(sorted(foreign), photographs, strict=True):
        Image.fromarray(resize(photograph, 96).astype(np.uint8)).save(images / key)
    Image.new("RGB", (96, 96), "gray").save(images / "jug" / "plain.png")
    (images / "jug" / "broken.png").write_bytes(b"no image")
    project.set_params(data={"source": str(images)}, scan={"max_rejected": 0.1}, backbone=BACKBONE)
    project.run("dvc", "repro", "audit")
    with (project.folder / "data/findings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, set] = {}
    for row in rows:
        key = frozenset((row["path"], row["other"])) if row["other"] else row["path"]
        found.setdefault(row["finding"], set()).add(key)

    counts = json.loads((project.folder / "metrics/details/audit.json").read_text(encoding="utf-8"))
    assert found["duplicate"] == exact
    assert counts["duplicate_across_classes"] == EXACT
    assert found["near_duplicate"] == near
    assert found["odd"] == {"jug/plain.png"}
    assert found["unreadable"] == {"jug/broken.png"}
    odd_ones = foreign | {"jug/plain.png"}
    assert share(found["outlier"], odd_ones) >= 0.5
    assert share(odd_ones, found["outlier"]) >= 0.5
    # a copy in another class is mislabeled as well, and so are the photographs
    assert share(wrong | foreign.union(*exact), found["wrong_label"]) >= 0.8  # a twelfth would be by chance
    doubted = (found["wrong_label"] | found["doubtful_label"]) & wrong
    assert share(doubted, wrong) >= 0.7
    suggested = {row["path"]: row["suggested"] for row in rows if row["suggested"]}
    right = {key for key in doubted if suggested[key] == key.split("/")[1].split("_")[0]}
    assert share(right, doubted) >= 0.8
