"""Splits that the source gives, from its folders to the metrics, and what people correct."""

import shutil
from pathlib import Path

from projects import Project, splits_of
from samples import write_wares

CLASSES = ("jug", "vase")


def test_fetch_applies_what_people_decided_about_labels(project: Project, tmp_path: Path) -> None:
    wares, images = write_wares(tmp_path / "wares", CLASSES, 3), project.folder / "data/images"
    project.set_params(data={"source": str(wares)})
    lines = ("key,decision,label", "jug/000.png,relabel,vase", "jug/001.png,leave_out,", "gone/1.png,right,")
    (project.folder / "data/corrections.csv").write_text("\n".join((*lines, "")), encoding="utf-8")
    printed = project.run("dvc", "repro", "fetch")
    assert "fetch: data/corrections.csv: 1 image relabeled, 1 left out" in printed
    assert "fetch: data/corrections.csv has 1 key that no image has: gone/1.png" in printed
    assert (images / "vase/jug__000.png").read_bytes() == (wares / "jug/000.png").read_bytes()
    assert sorted(path.name for path in images.glob("jug/*")) == ["002.png"]
    left_out = (project.folder / "data/left-out.csv").read_text(encoding="utf-8").splitlines()
    assert left_out[1:] == ["jug/001.png,left out by a correction"]


def test_given_splits_are_kept_missing_ones_are_drawn_and_copies_across_them_are_counted(
    project: Project, tmp_path: Path
) -> None:
    wares = write_wares(tmp_path / "wares", CLASSES, 10)
    for label in CLASSES:
        for number in range(10):
            split = "train" if number < 7 else "val"
            (wares / split / label).mkdir(parents=True, exist_ok=True)
            (wares / label / f"{number:03d}.png").rename(wares / split / label / f"{number:03d}.png")
        (wares / label).rmdir()
    shutil.copyfile(wares / "train/jug/000.png", wares / "val/jug/copy.png")
    project.set_params(data={"source": str(wares)})
    assert "fetch: the source gives splits (14 train, 7 valid)" in project.run("python", "src/fetch.py")
    project.run("python", "src/scan.py")
    printed = project.run("python", "src/split.py")
    assert "split: kept those that the source gives; drawn for others: test" in printed
    assert "split: identical images in two splits: 1 pair" in printed
    kept = splits_of(project)
    assert {key for key, split in kept.items() if split == "valid"} == {key for key in kept if "/val__" in key}
    assert [list(kept.values()).count(split) for split in ("train", "valid", "test")] == [10, 7, 4]

    project.set_params(split={"keep_given": False})
    assert "kept those" not in project.run("python", "src/split.py")
    drawn = splits_of(project)
    assert drawn["jug/val__copy.png"] == drawn["jug/train__000.png"]
    assert {split for key, split in drawn.items() if "/val__" in key} != {"valid"}
