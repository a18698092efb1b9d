"""Splits that the source gives, from its folders to the metrics."""

import shutil
from pathlib import Path

from projects import Project, splits_of
from samples import write_wares

CLASSES = ("jug", "vase")


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
