"""From a source to splits: what is left out, corrected, given or linked, and what is refused."""

from pipeline.stage import run_stage

import importlib
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from projects import Project, copy_small_project, run_stages, splits_of
from samples import write_wares
from similarity.data.files import read_table
from similarity.data.sources.ceramics import draw_picture
from similarity.errors import UserError

CLASSES = ("jug", "vase")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The small project without a repository, as the working folder."""
    copy_small_project(tmp_path / "project")
    return Project(tmp_path / "project", {"XDG_CACHE_HOME": str(tmp_path / "cache")}).enter(monkeypatch)


def bring(small: Project, source: Path, **changes: object) -> None:
    small.set_params(data={"source": str(source), **changes})
    run_stages("fetch")


def test_of_many_small_classes_ten_are_named_and_all_are_listed(small: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "few", CLASSES, 6)
    for number in range(15):
        (wares / f"rare{number:02d}").mkdir()
        Image.fromarray(draw_picture("bowl", 2, number, 32)).save(wares / f"rare{number:02d}" / "only.png")
    bring(small, wares)
    run_stages("scan")
    with pytest.raises(SystemExit) as end:
        run_stage(importlib.import_module("split").main)
    message = str(end.value).splitlines()[0]
    assert [f"'rare{number:02d}'" in message for number in range(15)] == [True] * 10 + [False] * 5
    assert "; and 5 more: each class needs some" in message
    assert message.endswith("; all are in data/problems.txt")
    assert Path("data/problems.txt").read_text(encoding="utf-8").splitlines() == [
        f"class 'rare{number:02d}' has too few distinct images of its own (1 among 1)" for number in range(15)
    ]


@pytest.mark.usefixtures("unicode_names")
def test_unreadable_images_are_listed_and_left_out_up_to_a_limit(small: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "wares", CLASSES, 10)
    (wares / "jug" / "text.jpg").write_text("no image", encoding="utf-8")
    (wares / "vase" / "cut.png").write_bytes((wares / "vase" / "000.png").read_bytes()[:500])
    Image.fromarray(draw_picture("jug", 5, 5, 40)).convert("CMYK").save(wares / "jug" / "druck ü.jpg")
    (wares / "notes").mkdir()
    (wares / "notes" / "only.png").write_text("no image", encoding="utf-8")
    bring(small, wares)
    with pytest.raises(UserError, match=r"3 of 24 images cannot be read, scan\.max_rejected"):
        run_stages("scan")
    small.set_params(scan={"max_rejected": 0.2})
    with pytest.raises(UserError, match="no image in the folder 'notes' can be read"):
        run_stages("scan")
    shutil.rmtree(wares / "notes")
    bring(small, wares)
    run_stages("scan")
    rejected = dict(read_table(Path("data/scan/rejected.csv"), ("path", "reason")))
    assert set(rejected) == {"jug/text.jpg", "vase/cut.png"}
    assert all(rejected.values())
    counts = json.loads(Path("metrics/details/scan.json").read_bytes())
    assert (counts["images"], counts["classes"], counts["rejected"]) == (21, 2, 2)


def test_files_that_are_left_out_are_listed_and_counted(
    small: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wares = write_wares(tmp_path / "wares", (*CLASSES, "..a"), 3)
    for number in range(20):
        (wares / "jug" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (wares / "notes, old.txt").write_bytes(b"x")
    bring(small, wares, heic="leave_out")
    assert "fetch: left out 20 files, HEIC: to read it, run `pip install 'pillow-heif" in capsys.readouterr().out
    listed = [path for path, _ in read_table(Path("data/left-out.csv"), ("path", "reason"))]
    hidden = [f"..a/{number:03d}.png" for number in range(3)]
    assert listed == sorted(["notes, old.txt", *hidden, *(f"jug/{number}.heic" for number in range(20))])


def test_fetch_applies_what_people_decided_about_labels(
    small: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wares, images = write_wares(tmp_path / "wares", CLASSES, 3), Path("data/images")
    lines = ("key,decision,label", "jug/000.png,relabel,vase", "jug/001.png,leave_out,", "gone/1.png,right,")
    Path("data/corrections.csv").write_text("\n".join((*lines, "")), encoding="utf-8")
    bring(small, wares)
    assert "fetch: data/corrections.csv changed 2 images; 1 not there" in capsys.readouterr().out
    assert (images / "vase/jug__000.png").read_bytes() == (wares / "jug/000.png").read_bytes()
    assert sorted(path.name for path in images.glob("jug/*")) == ["002.png"]
    left_out = Path("data/left-out.csv").read_text(encoding="utf-8").splitlines()
    assert left_out[1:] == ["jug/001.png,left out by a correction"]


def test_given_splits_are_kept_missing_ones_are_drawn_and_copies_across_them_are_counted(
    small: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wares = write_wares(tmp_path / "wares/train", CLASSES, 10).parent
    for label in CLASSES:
        (wares / "val" / label).mkdir(parents=True)
        for number in range(7, 10):
            (wares / "train" / label / f"{number:03d}.png").rename(wares / "val" / label / f"{number:03d}.png")
    shutil.copyfile(wares / "train/jug/000.png", wares / "val/jug/copy.png")
    bring(small, wares)
    assert "fetch: the source gives splits (14 train, 7 valid)" in capsys.readouterr().out
    run_stages("scan", "split")
    printed = capsys.readouterr().out
    assert "split: kept those that the source gives; drawn for others: test" in printed
    assert "split: identical images in two splits: 1 pair" in printed
    kept = splits_of(small)
    assert {key for key, split in kept.items() if split == "valid"} == {key for key in kept if "/val__" in key}
    assert [list(kept.values()).count(split) for split in ("train", "valid", "test")] == [10, 7, 4]

    small.set_params(split={"keep_given": False})
    run_stages("split")
    assert "kept those" not in capsys.readouterr().out
    drawn = splits_of(small)
    assert drawn["jug/val__copy.png"] == drawn["jug/train__000.png"]
    assert {split for key, split in drawn.items() if "/val__" in key} != {"valid"}


def test_hard_links_give_what_copies_give_and_leave_the_originals_alone(fresh: Project, tmp_path: Path) -> None:
    def facts() -> list[tuple[object, ...]]:
        found = [(path, path.stat()) for path in sorted(wares.glob("*/*"))]
        return [(path, fact.st_mode, fact.st_nlink, fact.st_mtime_ns, path.read_bytes()) for path, fact in found]

    wares = write_wares(tmp_path / "wares", CLASSES, 3)
    (wares / "jug/000.png").chmod(0o664)
    before = facts()
    fresh.set_params(data={"source": str(wares)})
    fresh.run("dvc", "config", "cache.type", "hardlink,copy")
    fresh.run("dvc", "repro", "fetch")
    expected = {f"data/images/{path.relative_to(wares)}": path.read_bytes() for path in wares.glob("*/*")}
    assert fresh.contents("data/images/*/*") == expected
    image = fresh.folder / "data/images/jug/000.png"
    assert image.stat().st_nlink == 2  # with DVC's cache
    assert not image.samefile(wares / "jug/000.png")
    assert facts() == before
