"""Folders, in which reading might not end, and archives of them, which give the same images."""

import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest

from samples import unpack
from similarity.data.sources.folders import bring_images, check_source, list_files
from similarity.data.sources.layouts import Layout, list_folder
from similarity.errors import UserError


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.parents[2] / "fifo")
    path.symlink_to(path.parents[2] / "fifo")


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, make_link_to_fifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["marble/x.jpg", "marble/.hidden", "notes"])
def test_what_is_no_file_is_refused_wherever_it_is(make: Callable[[Path], None], name: str, rocks: Path) -> None:
    make(rocks / name)
    with pytest.raises(UserError, match=f"{name}' is no file, but a FIFO, a socket or a device"):
        check_source(rocks)


def test_a_source_that_is_no_file_itself_is_refused_and_others_judge_what_is_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.zip")
    with pytest.raises(UserError, match=r"fifo\.zip' is no file"):
        check_source(tmp_path / "fifo.zip")
    (tmp_path / "set.zip").touch()
    assert check_source(tmp_path / "set.zip") == []


def test_links_in_a_circle_are_refused_and_others_are_followed_to_any_depth(rocks: Path, tmp_path: Path) -> None:
    (rocks / "again").symlink_to(rocks / "marble")
    (rocks / "one.png").symlink_to(rocks / "marble/000.png")
    (rocks / "gone.png").symlink_to(tmp_path / "nowhere")
    (rocks / "a/b/c/d/e/f/g").mkdir(parents=True)
    (rocks / "a/b/c/d/e/f/g/x.jpg").touch()
    check_source(rocks)
    files = list(map(str, list_files(rocks)))
    assert len(files) == 3 * 3 + 3
    assert {"a/b/c/d/e/f/g/x.jpg", "again/000.png", "gone.png"} < set(files)
    (rocks / "marble" / "other").symlink_to(rocks / "schist")
    (rocks / "schist" / "other").symlink_to(rocks / "marble")
    with pytest.raises(UserError, match="is a link to a folder that it is in"):
        list_files(rocks)


@pytest.mark.usefixtures("unicode_names")
def test_a_folder_is_copied_with_unicode_names_spaces_and_links(rocks: Path, tmp_path: Path) -> None:
    (rocks / "marble" / "000.png").rename(rocks / "marble" / "weißer Marmor 大理石.png")
    (rocks / "marble" / "001.png").rename(rocks / "marble" / "Screenshot 9.41\u202fAM \u0645\u06cc\u200c.png")
    (rocks / "linked").symlink_to(rocks / "schist")
    target = tmp_path / "target"
    target.mkdir()
    assert len(list(bring_images(rocks, list_folder(rocks).images, target, move=False))) == 9
    assert (target / "marble" / "weißer Marmor 大理石.png").read_bytes()
    assert not (target / "schist" / "001.png").samefile(rocks / "schist" / "001.png")


def test_a_link_to_nothing_is_named(rocks: Path, tmp_path: Path) -> None:
    (rocks / "marble" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match=r"gone\.jpg is a link to nothing"):
        list(bring_images(rocks, list_folder(rocks).images, tmp_path / "target", move=False))


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
    unpack([path], path.with_suffix(".unpacked"))
    return list_folder(path.with_suffix(".unpacked"))


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


@pytest.mark.parametrize("name", ["marble/x\ty.png", "marble/x\\y.png", "train/a/x.png"])
def test_what_is_refused_in_a_folder_is_refused_in_all_archives_of_it(name: str, rocks: Path, tmp_path: Path) -> None:
    for path in (rocks / name, rocks / "test" / "a" / "x.png"):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"x")
    with pytest.raises(UserError) as refusal:
        list_folder(rocks)
    for archive in make_archives(rocks, tmp_path):
        with pytest.raises(UserError, match=re.escape(str(refusal.value))):
            plan_archive(archive)


def test_a_path_in_a_zip_from_windows_may_have_backslashes(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("a\\x.jpg", "b\\x.jpg"):
            entry = ZipInfo(name)
            entry.create_system = 0
            archive.writestr(entry, b"x")
    assert sorted(map(str, plan_archive(tmp_path / "set.zip").images)) == ["a/x.jpg", "b/x.jpg"]
