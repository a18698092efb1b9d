"""Splits that the source gives, from its folders to the metrics."""

import csv
import json
import shutil
from pathlib import Path

from projects import Project
from samples import write_rocks
from similarity.duplication.leaks import Leak

CLASSES = ("marble", "schist")


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def split_of(project: Project) -> dict[str, str]:
    return dict(rows(project.folder / "data/splits.csv")[1:])


def test_given_splits_are_kept_what_they_lack_is_drawn_and_copies_across_them_are_told(
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
    project.set_params(data={"source": str(rocks)}, split={"group_near_duplicates": False})
    assert "fetch: the source gives splits (14 train, 7 valid)" in project.run("python", "src/fetch.py")
    for stage in ("scan", "duplicates"):
        project.run("python", f"src/{stage}.py")
    assert "split: kept those that the source gives; drawn for others: test" in project.run("python", "src/split.py")
    splits = split_of(project)
    assert {key for key, split in splits.items() if split == "valid"} == {key for key in splits if "/val__" in key}
    assert [list(splits.values()).count(split) for split in ("train", "valid", "test")] == [10, 7, 4]
    metrics = json.loads((project.folder / "metrics/splits.json").read_text(encoding="utf-8"))
    assert (metrics["given"], metrics["identical_across_splits"]) == (21, 1)
    header, *leaks = rows(project.folder / "data/leaks.csv")
    assert tuple(header) == Leak._fields
    original = splits["marble/train__000.png"]
    assert ["marble/val__copy.png", "valid", "marble/train__000.png", original, "identical", "1.000000"] in leaks

    project.set_params(split={"keep_given": False})
    assert "kept those" not in project.run("python", "src/split.py")
    drawn = split_of(project)
    assert drawn["marble/val__copy.png"] == drawn["marble/train__000.png"]
    assert {split for key, split in drawn.items() if "/val__" in key} != {"valid"}
