"""How folders are understood that have splits above the classes, folders within them, or files beside them."""

import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.errors import UserError
from similarity.sources.class_folders import Choices, Layout, list_folder, plan_layout
from similarity.sources.split_names import SPLIT_OF_NAME


def plan(*files: str, choices: Choices | None = None) -> Layout:
    return plan_layout(map(PurePosixPath, files), [], choices)


def keys(layout: Layout) -> dict[str, str]:
    return {str(path): str(key) for path, key in layout.images.items()}


def splits(layout: Layout) -> dict[str, str]:
    return {str(key): split for key, split in layout.splits.items()}


@pytest.mark.parametrize("wrap", ["", "set/", "set/v2/images/"])
@pytest.mark.parametrize("valid", ["val", "valid", "Validation"])
def test_folders_of_splits_above_the_classes_give_the_splits(wrap: str, valid: str) -> None:
    files = [f"{wrap}{split}/{label}/0.jpg" for split in ("train", valid, "test") for label in "ab"]
    layout = plan(*files)
    assert {key.parts[0] for key in layout.images.values()} == {"a", "b"}
    assert splits(layout) == {
        f"{label}/{name}__0.jpg": split
        for label in "ab"
        for name, split in (("train", "train"), (valid, "valid"), ("test", "test"))
    }


def test_folders_of_splits_without_classes_give_the_splits_of_images_without_a_class() -> None:
    layout = plan("train/cat/0.jpg", "train/dog/0.jpg", "test/1.jpg", "unlabeled/2.jpg", "3.jpg")
    assert keys(layout) == {
        "train/cat/0.jpg": "cat/train__0.jpg",
        "train/dog/0.jpg": "dog/train__0.jpg",
        "test/1.jpg": "unlabeled/test__1.jpg",
        "unlabeled/2.jpg": "unlabeled/2.jpg",
        "3.jpg": "unlabeled/3.jpg",
    }
    assert splits(layout) == {
        "cat/train__0.jpg": "train",
        "dog/train__0.jpg": "train",
        "unlabeled/test__1.jpg": "test",
    }


@pytest.mark.parametrize(
    "files",
    [("train/0.jpg", "bus/0.jpg"), ("train/0.jpg", "test/0.jpg", "bus/0.jpg"), ("train/old/0.jpg", "bus/0.jpg")],
)
def test_classes_may_be_called_like_splits(files: tuple[str, ...]) -> None:
    layout = plan(*files)
    assert layout.splits == {}
    assert {key.parts[0] for key in layout.images.values()} == {file.split("/")[0] for file in files}


def test_a_single_split_is_a_folder_around_all() -> None:
    layout = plan("train/a/0.jpg", "train/b/0.jpg")
    assert keys(layout) == {"train/a/0.jpg": "a/0.jpg", "train/b/0.jpg": "b/0.jpg"}
    assert layout.splits == {}


def test_an_empty_class_in_one_split_is_no_fault_and_in_all_it_is() -> None:
    files = [
        PurePosixPath(f"{split}/{label}/0.jpg") for split, label in (("train", "a"), ("train", "b"), ("test", "a"))
    ]
    folders = [PurePosixPath(f"test/{label}") for label in "ab"]
    assert len(plan_layout(files, folders).images) == 3
    with pytest.raises(UserError, match="'test/c' has no images"):
        plan_layout(files, [*folders, PurePosixPath("test/c")])


def test_images_in_folders_of_a_class_belong_to_it() -> None:
    layout = plan("a/0.jpg", "a/old/0.jpg", "a/old/large/0.jpg", "b/x/0.jpg")
    assert keys(layout) == {
        "a/0.jpg": "a/0.jpg",
        "a/old/0.jpg": "a/old__0.jpg",
        "a/old/large/0.jpg": "a/old__large__0.jpg",
        "b/x/0.jpg": "b/x__0.jpg",
    }


def test_what_lies_beside_the_class_folders_stops_nothing() -> None:
    beside = ("top.jpg", "readme.txt", "set/cover.jpg", "set/LICENSE", "set/list.csv")
    layout = plan("set/a/0.jpg", "set/b/0.jpg", *beside)
    assert keys(layout) == {
        "top.jpg": "unlabeled/top.jpg",
        "set/cover.jpg": "unlabeled/cover.jpg",
        "set/a/0.jpg": "a/0.jpg",
        "set/b/0.jpg": "b/0.jpg",
    }
    assert [each.path for each in layout.left_out] == ["readme.txt", "set/LICENSE", "set/list.csv"]


folder_names = st.sampled_from(["a", "b", "train", "test", "val", "unlabeled", "x"])
trees = st.sets(st.lists(folder_names, max_size=4).map(lambda names: "/".join([*names, "0.jpg"])), min_size=1)


@given(trees)
def test_whatever_folders_there_are_each_image_has_a_key_of_two_parts_or_the_source_is_refused(files: set[str]) -> None:
    try:
        layout = plan(*files)
    except UserError:
        return
    assert set(keys(layout)) == files
    assert len(set(layout.images.values())) == len(files)
    assert all(len(key.parts) == 2 for key in layout.images.values())
    assert set(layout.splits) <= set(layout.images.values())
    assert set(layout.splits.values()) <= set(SPLIT_OF_NAME.values())


@given(trees.filter(lambda files: any(file.count("/") == 1 for file in files)), st.sampled_from("ab"))
def test_one_more_image_renames_no_other(files: set[str], label: str) -> None:
    files |= {"a/1.jpg", "b/1.jpg"}
    try:
        before = keys(plan(*files))
        after = keys(plan(*files, f"{label}/deep/within/2.jpg"))
    except UserError:  # names of splits beside these classes
        return
    assert before.items() <= after.items()


def test_heic_is_taken_with_its_reader_and_refused_without_or_left_out_if_asked(
    rocks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed does not decide which images there are."""
    (rocks / "marble" / "IMG_1.HEIC").write_bytes(b"x")
    assert len(list_folder(rocks).images) == 7
    left_out = list_folder(rocks, Choices(heic=False))
    assert len(left_out.images) == 6
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"1 of 7 images in data\.source are HEIC, .* run `pip install 'pillow-heif>=1"):
        list_folder(rocks)
    assert list_folder(rocks, Choices(heic=False)) == left_out
    assert "pip install 'pillow-heif>=1,<2'" in left_out.left_out[0].reason
