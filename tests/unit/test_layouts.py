"""How folders are understood: classes, splits above them, folders within them, files next to them; and corrections."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import keys, plan, plan_names
from similarity.data.images.decoding import IMAGE_SUFFIXES
from similarity.data.sources.folders import SPLIT_OF_NAME
from similarity.data.sources.label_tables import Correction, corrected_key
from similarity.errors import DataError, UserError

RIGHT, LEAVE_OUT = Correction("right"), Correction("leave_out")
TO_A, TO_B, TO_C = (Correction("relabel", label) for label in "abc")


def test_hidden_files_and_other_kinds_of_files_are_left_out_with_the_reason() -> None:
    images = ["a/x.jpg", "b/y.PNG", *(f"b/0{suffix}" for suffix in sorted(IMAGE_SUFFIXES))]
    assert {".pgm", ".pbm", ".pnm", ".jpe", ".apng"} < IMAGE_SUFFIXES
    hidden = ["b/.DS_Store", ".git/x.png", "a/...png"]
    others = ["a/notes.txt", "b/jpg", "a/z.jpg.part", "b/\\t\\r\\n.txt"]
    system = ["__MACOSX/a/x.jpg", "a/@eaDir/x.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/x.jpg", "$RECYCLE.BIN/b/x.jpg"]
    layout = plan_names(*images, *hidden, *others[:-1], "b/\t\r\n.txt", *system)
    assert sorted(keys(layout)) == sorted(images)
    reasons = dict(layout.left_out)
    assert {reasons.pop(path) for path in hidden} == {"hidden: a name in its path begins with a dot"}
    assert {reasons.pop(path) for path in others} == {"not named like an image"}
    assert reasons == dict.fromkeys(system, "what an operating system or a network drive keeps for itself")


def test_images_in_folders_of_a_class_belong_to_it_and_those_next_to_the_classes_to_none() -> None:
    expected = {
        "top.jpg": "unlabeled/top.jpg",
        "set/cover.jpg": "unlabeled/cover.jpg",
        "set/unlabeled/z.jpg": "unlabeled/z.jpg",
        "set/a/0.jpg": "a/0.jpg",
        "set/a/old/large/0.jpg": "a/old__large__0.jpg",
        "set/b/x/0.jpg": "b/x__0.jpg",
    }
    layout = plan_names(*expected, "readme.txt", "set/LICENSE")
    assert keys(layout) == expected
    assert [path for path, _ in layout.left_out] == ["readme.txt", "set/LICENSE"]
    assert set(keys(plan_names("x.jpg", "y.jpg")).values()) == {"unlabeled/x.jpg", "unlabeled/y.jpg"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no images, and 0 other files$"),
        (["a/x.jpg", "y.jpg", "unlabeled/y.jpg"], r"'unlabeled/y\.jpg' and 'y\.jpg' would both be 'unlabeled/y\.jpg'"),
        (["a/x.jpg", "b/c/y.jpg", "b/c__y.jpg"], r"'b/c/y\.jpg' and 'b/c__y\.jpg' would both be 'b/c__y\.jpg'"),
        (["a/x.jpg", f"b/{'c' * 130}/{'y' * 130}.jpg"], "too long for one of 255 bytes"),
        (["train/a/x.jpg", "test/a/y.jpg", "bus/z.jpg"], r"'test', 'train' are called like splits, .* is 'bus'"),
        (["a/x\udcff.jpg", "b/x.jpg"], "not valid UTF-8"),
        (["a/x\n.jpg", "b/x.jpg"], "control characters"),
        (["a/x.txt", ".b/x.jpg"], r"no images, and 2 other files, such as '\.b/x\.jpg' \(hidden"),
    ],
)
def test_what_is_not_understood_is_named(files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_names(*files)


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("train", "val", "valid"),
        ("set/v2/images/train", "set/v2/images/test", "test"),
        ("training_set/training_set", "test_set/test_set", "test"),
        ("train/images", "val/images", "valid"),
        ("images/train2017", "images/val2017", "valid"),
    ],
)
def test_splits_are_found_as_people_name_and_wrap_them(train: str, other: str, split: str) -> None:
    layout = plan_names(f"{train}/cat/0.jpg", f"{other}/cat/1.jpg", f"{train}/dog/2.jpg")
    assert sorted(key.split("/")[0] for key in layout.images.values()) == ["cat", "cat", "dog"]
    assert sorted(layout.splits.values()) == sorted([split, "train", "train"])


def test_folders_of_splits_without_classes_give_the_splits_of_images_without_a_class() -> None:
    layout = plan_names("train/cat/0.jpg", "train/dog/0.jpg", "test/1.jpg", "unlabeled/2.jpg", "3.jpg")
    assert list(keys(layout).values()) == [
        "unlabeled/3.jpg", "unlabeled/test__1.jpg", "cat/train__0.jpg", "dog/train__0.jpg", "unlabeled/2.jpg",
    ]  # fmt: skip
    assert sorted(layout.splits.values()) == ["test", "train", "train"]
    detection = plan_names("train/images/0.jpg", "train/labels/0.txt", "valid/images/1.jpg")
    assert {key.split("/")[0] for key in detection.images.values()} == {"unlabeled"}


@pytest.mark.parametrize("files", ["train/old/0.jpg bus/0.jpg", "test_tube/0.jpg train_station/1.jpg contest/2.jpg"])
def test_classes_may_be_called_like_splits_and_a_single_split_is_a_folder_around_all(files: str) -> None:
    assert list(keys(plan_names("train/a/0.jpg", "train/b/0.jpg")).values()) == ["a/0.jpg", "b/0.jpg"]
    layout = plan_names(*files.split())
    assert layout.splits == {}
    assert {key.split("/")[0] for key in layout.images.values()} == {file.split("/")[0] for file in files.split()}


folder_names = st.sampled_from(["a", "b", "train", "test", "val", "unlabeled", "x"])
trees = st.sets(st.lists(folder_names, max_size=4).map(lambda names: "/".join([*names, "0.jpg"])), min_size=1)


@given(trees)
def test_whatever_folders_there_are_each_image_has_a_key_of_two_parts_or_the_source_is_refused(files: set[str]) -> None:
    try:
        layout = plan_names(*files)
    except UserError:
        return
    assert set(keys(layout)) == files
    assert len(set(layout.images.values())) == len(files)
    assert all(key.count("/") == 1 for key in layout.images.values())
    assert set(layout.splits.values()) <= set(SPLIT_OF_NAME.values())


@given(trees.filter(lambda files: any(file.count("/") == 1 for file in files)), st.sampled_from("ab"))
def test_one_more_image_renames_no_other(files: set[str], label: str) -> None:
    files |= {"a/1.jpg", "b/1.jpg"}
    try:
        before = keys(plan_names(*files))
        after = keys(plan_names(*files, f"{label}/deep/within/2.jpg"))
    except UserError:  # names of splits next to these classes
        return
    assert before.items() <= after.items()


def test_what_a_file_is_its_first_bytes_say_with_and_without_the_reader_of_heic(
    wares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which images there are does not depend on what is installed."""
    picture = (wares / "jug/000.png").read_bytes()
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    contents = {"1.JPG": heic, "2.HEIC": picture, "8c3f": picture, "cut.heif": b"x", "notes": b"x"}
    for name, content in contents.items():
        (wares / "jug" / name).write_bytes(content)
    everything = set(keys(plan(wares)))
    assert len(everything) == 6 + 4  # what is cut is for `scan` to judge
    left_out = plan(wares, heic="leave_out")
    assert everything - set(keys(left_out)) == {"jug/1.JPG"}
    reason = "HEIC: to read it, run `pip install 'pillow-heif>=1,<2'` and set data.heic to read"
    assert left_out.left_out == [("jug/1.JPG", reason), ("jug/notes", "not named like an image")]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"1 of 10 images in data\.source are HEIC, .* `pip install 'pillow-heif"):
        plan(wares)
    assert plan(wares, heic="leave_out") == left_out


@pytest.mark.parametrize(
    ("corrections", "key"),
    [
        ({}, "a/1.jpg"),
        ({"a/1.jpg": LEAVE_OUT}, None),
        ({"a/1.jpg": TO_B, "b/a__1.jpg": RIGHT}, "b/a__1.jpg"),
        ({"a/1.jpg": TO_B, "b/a__1.jpg": TO_C}, "c/a__1.jpg"),
        ({"a/1.jpg": TO_B, "b/a__1.jpg": TO_A}, "a/1.jpg"),
        ({"a/1.jpg": TO_B, "b/a__1.jpg": LEAVE_OUT}, None),
    ],
)
def test_a_later_decision_about_a_relabeled_image_counts(corrections: dict[str, Correction], key: str | None) -> None:
    assert corrected_key("a/1.jpg", corrections) == key


def test_images_are_relabeled_with_their_splits_and_left_out_by_their_path_in_the_source() -> None:
    files = [f"{split}/{label}/{name}.jpg" for split in ("train", "test") for label in "ab" for name in "12"]
    decided = {"a/train__1.jpg": TO_B, "b/test__2.jpg": LEAVE_OUT, "a/test__1.jpg": RIGHT, "x/gone": LEAVE_OUT}
    layout = plan_names(*files, corrections=decided)
    assert keys(layout)["train/a/1.jpg"] == "b/a__train__1.jpg"
    assert layout.left_out == [("test/b/2.jpg", "left out by a correction")]
    assert len(layout.images) == len(layout.splits) == 7
    assert (layout.corrected, layout.gone) == (2, 1)
    chain = {"a/1.jpg": TO_B, "b/a__1.jpg": TO_C, "b/1.jpg": RIGHT}
    assert plan_names("a/1.jpg", "b/1.jpg", corrections=chain).gone == 0
    with pytest.raises(DataError, match=r"'a/1\.jpg' and .* would both be 'b/a__1\.jpg': .* or decide otherwise"):
        plan_names("a/1.jpg", "b/a__1.jpg", corrections={"a/1.jpg": TO_B})
    with pytest.raises(DataError, match=r"would both be 'a/b__1\.jpg': rename this in the source$"):
        plan_names("a/b/1.jpg", "a/b__1.jpg", "b/1.jpg", corrections={"a/b__1.jpg": LEAVE_OUT})
