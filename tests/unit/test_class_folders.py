from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.errors import UserError
from similarity.sources.class_folders import copy_images, list_folder, plan_layout

names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
keys = st.tuples(names, names).map(lambda key: PurePosixPath(key[0], f"{key[1]}.jpg"))


def paths(*values: str) -> list[PurePosixPath]:
    return [PurePosixPath(value) for value in values]


@given(st.sets(keys, min_size=2).filter(lambda found: len({key.parts[0] for key in found}) > 1), st.booleans())
def test_class_folders_are_found_with_and_without_a_wrapping_folder(found: set[PurePosixPath], wrapped: bool) -> None:
    files = {PurePosixPath("wrap") / key: key for key in found} if wrapped else {key: key for key in found}
    assert plan_layout(files, []).images == files


def test_hidden_files_and_other_kinds_of_files_are_left_out() -> None:
    layout = plan_layout(
        paths("a/x.jpg", "b/y.PNG", "b/.DS_Store", "__MACOSX/a/._x.jpg", "a/notes.txt", "README.md", ".git/x.png"), []
    )
    assert sorted(map(str, layout.images)) == ["a/x.jpg", "b/y.PNG"]
    assert sorted(map(str, layout.ignored)) == ["README.md", "a/notes.txt"]


@pytest.mark.parametrize("wrap", ["", "wrap/"])
def test_images_beside_class_folders_have_no_class_like_those_of_the_folder_unlabeled(wrap: str) -> None:
    files = paths(*(wrap + name for name in ("a/x.jpg", "b/x.jpg", "x.jpg", "y.png", "unlabeled/z.jpg")))
    expected = paths("a/x.jpg", "b/x.jpg", "unlabeled/x.jpg", "unlabeled/y.png", "unlabeled/z.jpg")
    assert sorted(plan_layout(files, []).images.values()) == sorted(expected)


def test_images_in_no_folder_at_all_have_no_class() -> None:
    assert set(plan_layout(paths("x.jpg", "y.jpg"), []).images.values()) == set(
        paths("unlabeled/x.jpg", "unlabeled/y.jpg")
    )


def test_same_file_name_in_two_classes_is_normal() -> None:
    assert len(plan_layout(paths("a/x.jpg", "b/x.jpg"), []).images) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["readme.txt"], "no images"),
        ([], "no images"),
        (["a/x.jpg", "y.jpg", "unlabeled/y.jpg"], r"two images 'y\.jpg' without a class, one in 'unlabeled'"),
        (["a/x.jpg", "b/c/y.jpg"], r"'b/c/y\.jpg' is nested too deep"),
        (["w/v/a/x.jpg", "w/v/b/x.jpg"], "nested too deep"),
        (["a/x\udcff.jpg", "b/x.jpg"], "not valid UTF-8"),
        (["a/x\n.jpg", "b/x.jpg"], "control characters"),
    ],
)
def test_what_is_not_understood_is_named(files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_layout(paths(*files), [])


@pytest.mark.parametrize("wrap", ["", "wrap/"])
def test_an_empty_class_is_refused(wrap: str) -> None:
    files = paths(f"{wrap}a/x.jpg", f"{wrap}b/x.jpg")
    with pytest.raises(UserError, match=r"'(wrap/)?empty' has no images"):
        plan_layout(files, paths(*(["wrap"] if wrap else []), f"{wrap}a", f"{wrap}b", f"{wrap}empty"))


def test_a_folder_is_copied_with_unicode_names_spaces_and_links(rocks: Path, tmp_path: Path) -> None:
    (rocks / "marble" / "000.png").rename(rocks / "marble" / "weißer Marmor 大理石.png")
    (rocks / "marble" / "001.png").rename(rocks / "marble" / "Screenshot 9.41\u202fAM \u0645\u06cc\u200c.png")
    (rocks / "linked").symlink_to(rocks / "schist")
    target = tmp_path / "target"
    target.mkdir()
    copied = list(copy_images(rocks, list_folder(rocks), target))
    assert len(copied) == 9
    assert (target / "marble" / "weißer Marmor 大理石.png").read_bytes()
    assert not (target / "schist" / "001.png").samefile(rocks / "schist" / "001.png")


def test_a_link_to_nothing_is_named(rocks: Path, tmp_path: Path) -> None:
    (rocks / "marble" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match=r"gone\.jpg is a link to nothing"):
        list(copy_images(rocks, list_folder(rocks), tmp_path / "target"))
