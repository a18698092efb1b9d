"""New images go into the source: `dvc repro` looks at the new ones only, and the old ones stay in their splits."""

import re
import shutil
from pathlib import Path

from projects import Project, splits_of
from samples import write_wares

CLASSES = ("jug", "vase")
IMAGES, ADDED = 70, 4  # of each class


def count_before(words: str, printed: str) -> int:
    (count,) = re.findall(rf"([\d,]+) (?:images?|vectors?|files?) {words}", printed)
    return int(count.replace(",", ""))


def test_added_images_alone_are_decoded_and_featurized_and_move_no_other(project: Project, tmp_path: Path) -> None:
    every = write_wares(tmp_path / "all", CLASSES, IMAGES + ADDED, size=48)
    source, added = tmp_path / "source", list(every.glob(f"*/{IMAGES:03d}.png")) + list(every.glob("*/07[123].png"))
    shutil.copytree(every, source)
    for path in added:
        (source / path.relative_to(every)).unlink()
    project.set_params(data={"source": str(source)})
    printed = project.run("dvc", "repro", "split", "featurize")
    assert count_before("decoded", printed) == 2 * IMAGES
    before = splits_of(project)
    assert len(before) == 2 * IMAGES

    for path in added:
        shutil.copyfile(path, source / path.relative_to(every))
    (source / "jug/000.png").rename(source / "jug/renamed.png")
    printed = project.run("dvc", "repro", "split", "featurize")
    assert count_before("decoded", printed) == 2 * ADDED
    assert count_before("computed", printed) == 2 * ADDED
    after = splits_of(project)
    assert len(after) == 2 * (IMAGES + ADDED)
    before["jug/renamed.png"] = before.pop("jug/000.png")
    assert {key: split for key, split in after.items() if key in before} == before
