"""Splits that the source gives, from its folders to the metrics, and what people correct."""

import shutil
from pathlib import Path

from projects import Project, splits_of
from samples import write_rocks

CLASSES = ("marble", "schist")


def test_fetch_applies_what_people_decided_about_labels(project: Project, tmp_path: Path) -> None:
    rocks, images = write_rocks(tmp_path / "rocks", CLASSES, 3), project.folder / "data/images"
    project.set_params(data={"source": str(rocks)})
    lines = ("key,decision,label", "marble/000.png,relabel,schist", "marble/001.png,leave_out,", "gone/1.png,right,")
    (project.folder / "data/corrections.csv").write_text("\n".join((*lines, "")), encoding="utf-8")
    printed = project.run("dvc", "repro", "fetch")
    assert "fetch: data/corrections.csv: 1 image relabeled, 1 left out" in printed
    assert "fetch: data/corrections.csv has 1 key that no image has: gone/1.png" in printed
    assert (images / "schist/marble__000.png").read_bytes() == (rocks / "marble/000.png").read_bytes()
    assert sorted(path.name for path in images.glob("marble/*")) == ["002.png"]
    left_out = (project.folder / "data/left-out.csv").read_text(encoding="utf-8").splitlines()
    assert left_out[1:] == ["marble/001.png,left out by a correction"]


def test_given_splits_are_kept_missing_ones_are_drawn_and_copies_across_them_are_counted(
    project: Project, tmp_path: Path
) -> None:
    rocks = write_rocks(tmp_path / "rocks", CLASSES, 10)
    for label in CLASSES:
        for number in range(10):
            split = "train" if number < 7 else "val"
            (rocks / split / label).mkdir(parents=True, exist_ok=True)
            (rocks / label / f"{number:03d}.png").rename(rocks / split / label / f"{number:03d}.png")
        (rocks / label).rmdir()
    shutil.copyfile(rocks / "train/marble/000.png", rocks / "val/marble/copy.png")
    project.set_params(data={"source": str(rocks)})
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
    assert drawn["marble/val__copy.png"] == drawn["marble/train__000.png"]
    assert {split for key, split in drawn.items() if "/val__" in key} != {"valid"}
