import re
import shutil
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.errors import UserError
from similarity.sources.archives import open_archive
from similarity.sources.class_folders import Choices, Layout, copy_images, list_archive, list_folder, plan_layout

names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
keys = st.tuples(names, names).map(lambda key: PurePosixPath(key[0], f"{key[1]}.jpg"))


def paths(*values: str) -> list[PurePosixPath]:
    return [PurePosixPath(value) for value in values]


@given(st.sets(keys, min_size=2).filter(lambda found: len({key.parts[0] for key in found}) > 1), st.booleans())
def test_class_folders_are_found_with_and_without_a_wrapping_folder(found: set[PurePosixPath], wrapped: bool) -> None:
    files = {PurePosixPath("wrap") / key: key for key in found} if wrapped else {key: key for key in found}
    assert plan_layout(files, []).images == files


def test_hidden_files_and_other_kinds_of_files_are_left_out_with_the_reason() -> None:
    images = paths("a/x.jpg", "b/y.PNG")
    hidden = paths("b/.DS_Store", ".git/x.png", "..c/x.jpg", "a/...png", "a/.jpg")
    heic = paths("a/IMG_1.HEIC", "b/2.heif", "b/3.hif")
    others = paths("a/notes.txt", "README.md", "a/Thumbs.db", "b/jpg", "a/z.jpg.part")
    layout = plan_layout([*images, *hidden, *heic, *others, *paths("__MACOSX/a/x.jpg")], [], Choices(heic=False))
    assert sorted(layout.images) == images
    reasons = dict(layout.left_out)
    assert {reasons.pop(str(path)) for path in hidden} == {"hidden: a name in its path begins with a dot"}
    assert {reasons.pop(str(path)) for path in heic} == {
        "HEIC: to read it, run `pip install 'pillow-heif>=1,<2'` and set data.heic to read"
    }
    assert {reasons.pop(str(path)) for path in others} == {"not named like an image"}
    assert reasons == {"__MACOSX/a/x.jpg": "what macOS adds to archives"}


def test_names_that_a_table_cannot_hold_are_escaped() -> None:
    layout = plan_layout(paths("a/x.jpg", "b/\t\r\n.txt", "b/\udcff.txt", "b/ü.txt", "b/y.jpg"), [])
    assert [path for path, _ in layout.left_out] == ["b/\\t\\r\\n.txt", "b/ü.txt", "b/\\udcff.txt"]


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
        (["a/x.jpg", "y.jpg", "unlabeled/y.jpg"], r"'unlabeled/y\.jpg' and 'y\.jpg' would both be 'unlabeled/y\.jpg'"),
        (["a/x.jpg", "b/c/y.jpg", "b/c__y.jpg"], r"'b/c/y\.jpg' and 'b/c__y\.jpg' would both be 'b/c__y\.jpg'"),
        (["a/x.jpg", f"b/{'c' * 130}/{'y' * 130}.jpg"], "too long for one of 255 bytes"),
        (["train/a/x.jpg", "test/a/y.jpg", "bus/z.jpg"], r"'test', 'train' are called like splits, .* is 'bus'"),
        (["a/x\udcff.jpg", "b/x.jpg"], "not valid UTF-8"),
        (["a/x\n.jpg", "b/x.jpg"], "control characters"),
        (["a/x\\y.jpg", "b/x.jpg"], "a backslash"),
        (["a/x.HEIC", ".b/x.jpg"], r"no images: .*; 2 were left out, such as '\.b/x\.jpg' \(hidden"),
        (["a/x.jpg", "b/x.heic", "b/y.heic"], r"'b' has no images: .*; 2 were left out, such as 'b/x.heic' \(HEIC: to"),
        (["a/x.jpg", "train/x.heic", "test/c/d/e/y.txt"], "'test' has no images"),
    ],
)
def test_what_is_not_understood_is_named(files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_layout(paths(*files), [], Choices(heic=False))


@pytest.mark.parametrize("wrap", ["", "wrap/"])
def test_an_empty_class_is_refused(wrap: str) -> None:
    files = paths(f"{wrap}a/x.jpg", f"{wrap}b/x.jpg")
    with pytest.raises(UserError, match=r"'(wrap/)?empty' has no images"):
        plan_layout(files, paths(*(["wrap"] if wrap else []), f"{wrap}a", f"{wrap}b", f"{wrap}empty"))


@pytest.mark.usefixtures("unicode_names")
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


def make_archives(folder: Path, target: Path) -> list[Path]:
    """Also as macOS makes one, which does not say that names are in UTF-8."""
    made = [Path(shutil.make_archive(str(target / f"set_{kind}"), kind, folder)) for kind in ("zip", "tar", "gztar")]
    content = bytearray(made[0].read_bytes())
    for signature, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        for found in re.finditer(signature, content):
            content[found.start() + offset] &= 0xF7
    (target / "macos.zip").write_bytes(content)
    return [*made, target / "macos.zip"]


def plan_archive(path: Path) -> Layout:
    with open_archive(path) as archive:
        return list_archive(archive, path, 10**9)


LEFT_OUT = (".hidden/x.png", "..a/x.png", "marble/...png", "marble/x\ty.txt", "marble/x\\y.txt", "marble/ü.txt")


def test_a_folder_and_all_archives_of_it_give_the_same_images_and_leave_the_same_out(
    rocks: Path, tmp_path: Path
) -> None:
    (rocks / "marble" / "000.png").rename(rocks / "marble" / "größe 大理石.png")
    (rocks / "schist").rename(rocks / "Schiefer – grün")
    for name in LEFT_OUT:
        (rocks / name).parent.mkdir(exist_ok=True)
        (rocks / name).write_bytes(b"x")
    expected = list_folder(rocks)
    assert len(expected.images) == 6
    assert len(expected.left_out) == len(LEFT_OUT)
    for archive in make_archives(rocks, tmp_path):
        assert plan_archive(archive) == expected


@pytest.mark.parametrize("name", ["marble/x\ty.png", "marble/x\\y.png", "empty/x.txt", "train/a/x.png"])
def test_what_is_refused_in_a_folder_is_refused_in_all_archives_of_it(name: str, rocks: Path, tmp_path: Path) -> None:
    for path in (rocks / name, rocks / "test" / "a" / "x.png"):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"x")
    with pytest.raises(UserError) as refusal:
        list_folder(rocks)
    for archive in make_archives(rocks, tmp_path):
        with pytest.raises(UserError, match=re.escape(str(refusal.value))):
            plan_archive(archive)


def test_a_class_of_which_a_zip_lists_no_folder_is_refused_without_images_as_well(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("a/x.jpg", "b/x.jpg", "c/x.txt"):
            archive.writestr(name, b"x")
    with pytest.raises(UserError, match="'c' has no images"):
        plan_archive(tmp_path / "set.zip")


def test_a_path_in_a_zip_from_windows_may_have_backslashes(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("a\\x.jpg", "b\\x.jpg"):
            entry = ZipInfo(name)
            entry.create_system = 0
            archive.writestr(entry, b"x")
    assert sorted(plan_archive(tmp_path / "set.zip").images) == paths("a/x.jpg", "b/x.jpg")


def test_a_link_to_nothing_is_named(rocks: Path, tmp_path: Path) -> None:
    (rocks / "marble" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match=r"gone\.jpg is a link to nothing"):
        list(copy_images(rocks, list_folder(rocks), tmp_path / "target"))
