"""Decisions about labels: how they are kept, and what becomes of the images."""

from pathlib import Path, PurePosixPath

import pytest

from samples import data_params
from similarity.data.dataset.corrections import Correction, corrected_key, read_corrections, write_corrections
from similarity.data.sources.layouts import correct_layout, plan_layout
from similarity.errors import DataError

RIGHT, LEAVE_OUT = Correction("right"), Correction("leave_out")


def relabel(label: str) -> Correction:
    return Correction("relabel", label)


def test_decisions_are_kept_sorted_in_a_file_that_need_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    assert read_corrections(path) == {}
    corrections = {"b/1.jpg": relabel("a, too"), "a/2.jpg": LEAVE_OUT, "a/ü.jpg": RIGHT}
    write_corrections(path, corrections)
    assert read_corrections(path) == corrections
    assert path.read_text(encoding="utf-8").splitlines() == [
        "key,decision,label", "a/2.jpg,leave_out,", "a/ü.jpg,right,", 'b/1.jpg,relabel,"a, too"',
    ]  # fmt: skip


def test_all_wrong_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    lines = ["a/1,right,", "a/1,leave_out,", "a/2,maybe,", "a/3,relabel,", "a/4,right,b", "a/5,relabel,.b"]
    path.write_text("\n".join(("<<<<<<< HEAD", *lines, "6,right,", "a", "")), encoding="utf-8")
    with pytest.raises(DataError) as refusal:
        read_corrections(path)
    assert [problem.partition("corrections.csv")[2] for problem in refusal.value.problems] == [
        " does not begin with the line key,decision,label",
        ", line 3: 'a/1' is decided in a line above",
        *(f", line {number}: {line!r} is no decision" for number, line in enumerate([*lines[2:], "6,right,", "a"], 4)),
    ]


@pytest.mark.parametrize(
    ("corrections", "key"),
    [
        ({}, "a/1.jpg"),
        ({"a/1.jpg": LEAVE_OUT}, None),
        ({"a/1.jpg": relabel("b"), "b/a__1.jpg": RIGHT}, "b/a__1.jpg"),
        ({"a/1.jpg": relabel("b"), "b/a__1.jpg": relabel("c")}, "c/a__1.jpg"),
        ({"a/1.jpg": relabel("b"), "b/a__1.jpg": relabel("a")}, "a/1.jpg"),
        ({"a/1.jpg": relabel("b"), "b/a__1.jpg": LEAVE_OUT}, None),
    ],
)
def test_a_later_decision_about_a_relabeled_image_counts(corrections: dict[str, Correction], key: str | None) -> None:
    assert corrected_key("a/1.jpg", corrections) == key


def test_images_are_relabeled_with_their_splits_and_left_out_by_their_path_in_the_source() -> None:
    files = [f"{split}/{label}/{name}.jpg" for split in ("train", "test") for label in "ab" for name in "12"]
    layout = plan_layout(Path("nowhere"), map(PurePosixPath, files), data_params())
    corrected = correct_layout(layout, {"a/train__1.jpg": relabel("b"), "b/test__2.jpg": LEAVE_OUT, "x/gone": RIGHT})
    assert corrected.images[PurePosixPath("train/a/1.jpg")] == "b/a__train__1.jpg"
    assert corrected.left_out == [("test/b/2.jpg", "left out by a correction")]
    assert len(corrected.images) == len(corrected.splits) == 7
    layout = plan_layout(Path("nowhere"), map(PurePosixPath, ["a/1.jpg", "b/a__1.jpg"]), data_params())
    with pytest.raises(DataError, match=r"'a/1\.jpg' and .* would both be 'b/a__1\.jpg': leave one of them out"):
        correct_layout(layout, {"a/1.jpg": relabel("b")})
