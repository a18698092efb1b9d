"""From a source to splits: what is left out, corrected, given or linked, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from projects import Project, splits_of
from samples import write_wares
from similarity.data.files import read_table
from similarity.data.sources.ceramics import draw_picture

CLASSES = ("jug", "vase")


def bring(fresh: Project, source: Path) -> None:
    fresh.set_params(data={"source": str(source)})
    fresh.run("python", "src/fetch.py")


def refusal(fresh: Project, stage: str) -> str:
    """Run a stage that must refuse; return its line."""
    return fresh.run("python", f"src/{stage}.py", status=1).splitlines()[0]


def test_of_many_small_classes_ten_are_named_and_all_are_listed(fresh: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "few", ("jug", "vase"), 6)
    for number in range(15):
        (wares / f"rare{number:02d}").mkdir()
        Image.fromarray(draw_picture("bowl", 2, number, 32)).save(wares / f"rare{number:02d}" / "only.png")
    bring(fresh, wares)
    fresh.run("python", "src/scan.py")
    message = refusal(fresh, "split")
    assert [f"'rare{number:02d}'" in message for number in range(15)] == [True] * 10 + [False] * 5
    assert "; and 5 more: each class needs some" in message
    assert message.endswith("; all are in data/problems.txt")
    listed = (fresh.folder / "data/problems.txt").read_text(encoding="utf-8").splitlines()
    assert listed == [
        f"class 'rare{number:02d}' has too few distinct images of its own (1 among 1)" for number in range(15)
    ]


@pytest.mark.usefixtures("unicode_names")
def test_unreadable_images_are_listed_and_left_out_up_to_a_limit(fresh: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "wares", ("jug", "vase"), 10)
    (wares / "jug" / "text.jpg").write_text("no image", encoding="utf-8")
    (wares / "vase" / "cut.png").write_bytes((wares / "vase" / "000.png").read_bytes()[:500])
    Image.fromarray(draw_picture("jug", 5, 5, 40)).convert("CMYK").save(wares / "jug" / "druck ü.jpg")
    (wares / "notes").mkdir()
    (wares / "notes" / "only.png").write_text("no image", encoding="utf-8")
    bring(fresh, wares)
    assert "3 of 24 images cannot be read, scan.max_rejected" in refusal(fresh, "scan")
    fresh.set_params(scan={"max_rejected": 0.2})
    assert "no image in the folder 'notes' can be read" in refusal(fresh, "scan")
    shutil.rmtree(wares / "notes")
    bring(fresh, wares)
    fresh.run("python", "src/scan.py")
    rejected = dict(read_table(fresh.folder / "data/scan/rejected.csv", ("path", "reason")))
    assert set(rejected) == {"jug/text.jpg", "vase/cut.png"}
    assert all(rejected.values())
    counts = json.loads((fresh.folder / "metrics/details/scan.json").read_text(encoding="utf-8"))
    assert (counts["images"], counts["classes"], counts["rejected"]) == (21, 2, 2)


def test_files_that_are_left_out_are_listed_and_counted(fresh: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "wares", ("jug", "vase", "..a"), 3)
    for number in range(20):
        (wares / "jug" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (wares / "notes, old.txt").write_bytes(b"x")
    fresh.set_params(data={"source": str(wares), "heic": "leave_out"})
    printed = fresh.run("python", "src/fetch.py")
    assert "fetch: left out 20 files, HEIC: to read it, run `pip install 'pillow-heif" in printed
    listed = [path for path, _ in read_table(fresh.folder / "data/left-out.csv", ("path", "reason"))]
    hidden = [f"..a/{number:03d}.png" for number in range(3)]
    assert listed == sorted(["notes, old.txt", *hidden, *(f"jug/{number}.heic" for number in range(20))])


def test_fetch_applies_what_people_decided_about_labels(fresh: Project, tmp_path: Path) -> None:
    wares, images = write_wares(tmp_path / "wares", CLASSES, 3), fresh.folder / "data/images"
    fresh.set_params(data={"source": str(wares)})
    lines = ("key,decision,label", "jug/000.png,relabel,vase", "jug/001.png,leave_out,", "gone/1.png,right,")
    (fresh.folder / "data/corrections.csv").write_text("\n".join((*lines, "")), encoding="utf-8")
    printed = fresh.run("dvc", "repro", "fetch")
    assert "fetch: data/corrections.csv changed 2 images" in printed
    assert (images / "vase/jug__000.png").read_bytes() == (wares / "jug/000.png").read_bytes()
    assert sorted(path.name for path in images.glob("jug/*")) == ["002.png"]
    left_out = (fresh.folder / "data/left-out.csv").read_text(encoding="utf-8").splitlines()
    assert left_out[1:] == ["jug/001.png,left out by a correction"]


def test_given_splits_are_kept_missing_ones_are_drawn_and_copies_across_them_are_counted(
    fresh: Project, tmp_path: Path
) -> None:
    wares = write_wares(tmp_path / "wares", CLASSES, 10)
    for label in CLASSES:
        for number in range(10):
            split = "train" if number < 7 else "val"
            (wares / split / label).mkdir(parents=True, exist_ok=True)
            (wares / label / f"{number:03d}.png").rename(wares / split / label / f"{number:03d}.png")
        (wares / label).rmdir()
    shutil.copyfile(wares / "train/jug/000.png", wares / "val/jug/copy.png")
    fresh.set_params(data={"source": str(wares)})
    assert "fetch: the source gives splits (14 train, 7 valid)" in fresh.run("python", "src/fetch.py")
    fresh.run("python", "src/scan.py")
    printed = fresh.run("python", "src/split.py")
    assert "split: kept those that the source gives; drawn for others: test" in printed
    assert "split: identical images in two splits: 1 pair" in printed
    kept = splits_of(fresh)
    assert {key for key, split in kept.items() if split == "valid"} == {key for key in kept if "/val__" in key}
    assert [list(kept.values()).count(split) for split in ("train", "valid", "test")] == [10, 7, 4]

    fresh.set_params(split={"keep_given": False})
    assert "kept those" not in fresh.run("python", "src/split.py")
    drawn = splits_of(fresh)
    assert drawn["jug/val__copy.png"] == drawn["jug/train__000.png"]
    assert {split for key, split in drawn.items() if "/val__" in key} != {"valid"}


def facts(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return the mode of each file, its number of links, when it was changed, and its content."""
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(path): (fact.st_mode, fact.st_nlink, fact.st_mtime_ns, path.read_bytes()) for path, fact in found.items()
    }


def test_hard_links_give_what_copies_give_and_leave_the_originals_alone(fresh: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "wares", ("bowl", "jug", "vase"), 3)
    (wares / "jug" / "000.png").chmod(0o664)
    before = facts(wares)
    fresh.set_params(data={"source": str(wares)})
    fresh.run("python", "src/fetch.py")
    copied = fresh.contents("data/images/*/*", "data/left-out.csv", "data/given-splits.csv")
    fresh.run("dvc", "config", "cache.type", "hardlink,copy")
    fresh.run("dvc", "repro", "fetch")
    assert fresh.contents("data/images/*/*", "data/left-out.csv", "data/given-splits.csv") == copied
    image = fresh.folder / "data/images/jug/000.png"
    assert image.stat().st_nlink == 2  # with DVC's cache
    assert not image.samefile(wares / "jug" / "000.png")
    assert facts(wares) == before
