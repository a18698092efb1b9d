"""Folders, in which reading might not end, and archives of them, which give the same images."""

import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from samples import plan, unpack
from similarity.data.sources.folders import check_source, list_files
from similarity.data.sources.layouts import Layout
from similarity.errors import UserError


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.parents[2] / "fifo")
    path.symlink_to(path.parents[2] / "fifo")


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, make_link_to_fifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused(make: Callable[[Path], None], wares: Path) -> None:
    make(wares / "jug/.hidden")
    with pytest.raises(UserError, match=r"jug/\.hidden' is no file, but a FIFO, a socket or a device"):
        check_source(wares)


def test_links_in_a_circle_are_refused_and_others_are_followed_to_any_depth(wares: Path, tmp_path: Path) -> None:
    (wares / "again").symlink_to(wares / "jug")
    (wares / "gone.png").symlink_to(tmp_path / "nowhere")
    (wares / "a/b/c/d/e/f/g").mkdir(parents=True)
    (wares / "a/b/c/d/e/f/g/x.jpg").touch()
    check_source(wares)
    files = list(map(str, list_files(wares)))
    assert len(files) == 3 * 3 + 2
    assert {"a/b/c/d/e/f/g/x.jpg", "again/000.png", "gone.png"} < set(files)
    (wares / "jug" / "other").symlink_to(wares / "vase")
    (wares / "vase" / "other").symlink_to(wares / "jug")
    with pytest.raises(UserError, match="is a link to a folder that it is in"):
        list_files(wares)


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
    return plan(path.with_suffix(".unpacked"))


LEFT_OUT = (".hidden/x.png", "jug/...png", "jug/x\ty.txt", "jug/ü.txt")


def test_a_folder_and_all_archives_of_it_give_the_same_images_and_leave_the_same_out(
    wares: Path, tmp_path: Path
) -> None:
    (wares / "jug" / "000.png").rename(wares / "jug" / "größe 大理石.png")
    (wares / "vase").rename(wares / "Schiefer – grün")
    for name in LEFT_OUT:
        (wares / name).parent.mkdir(exist_ok=True)
        (wares / name).write_bytes(b"x")
    expected = plan(wares)
    assert len(expected.images) == 6
    assert len(expected.left_out) == len(LEFT_OUT)
    for archive in make_archives(wares, tmp_path):
        assert plan_archive(archive) == expected


def test_a_path_in_a_zip_from_windows_may_have_backslashes(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("a\\x.jpg", "b\\x.jpg"):
            archive.writestr(name, b"x")
    assert sorted(map(str, plan_archive(tmp_path / "set.zip").images)) == ["a/x.jpg", "b/x.jpg"]
