"""Folders in which reading would not end."""

import os
import socket
from pathlib import Path

import pytest

from similarity.errors import UserError
from similarity.sources.folders import check_source, list_tree


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.parents[2] / "fifo")
    path.symlink_to(path.parents[2] / "fifo")


@pytest.mark.parametrize("make", [make_fifo, make_socket, make_link_to_device, make_link_to_fifo])
@pytest.mark.parametrize("name", ["marble/x.jpg", "marble/.hidden", "notes"])
def test_what_is_no_file_is_refused_wherever_it_is(make: object, name: str, rocks: Path) -> None:
    make(rocks / name)  # type: ignore[operator]
    for look in (check_source, list_tree):
        with pytest.raises(UserError, match=f"{name}' is no file, but a FIFO, a socket or a device"):
            look(rocks)


def test_a_source_that_is_no_file_itself_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.zip")
    with pytest.raises(UserError, match=r"fifo\.zip' is no file"):
        check_source(tmp_path / "fifo.zip")


def test_links_in_a_circle_are_refused(rocks: Path) -> None:
    (rocks / "marble" / "other").symlink_to(rocks / "schist")
    (rocks / "schist" / "other").symlink_to(rocks / "marble")
    for look in (check_source, list_tree):
        with pytest.raises(UserError, match="is a link to a folder that it lies in"):
            look(rocks)


def test_links_to_files_folders_and_nothing_are_fine(rocks: Path, tmp_path: Path) -> None:
    (rocks / "again").symlink_to(rocks / "marble")
    (rocks / "one.png").symlink_to(rocks / "marble/000.png")
    (rocks / "gone.png").symlink_to(tmp_path / "nowhere")
    check_source(rocks)
    tree = list_tree(rocks)
    assert len(tree.files) == 3 * 3 + 2
    assert sorted(map(str, tree.folders)) == ["again", "marble", "schist"]


def test_files_at_any_depth_are_listed(rocks: Path) -> None:
    deep = rocks / "a/b/c/d/e/f/g"
    deep.mkdir(parents=True)
    (deep / "x.jpg").touch()
    assert "a/b/c/d/e/f/g/x.jpg" in map(str, list_tree(rocks).files)


def test_a_source_that_does_not_exist_or_is_a_file_is_for_others_to_judge(tmp_path: Path) -> None:
    (tmp_path / "set.zip").touch()
    check_source(tmp_path / "set.zip")
    check_source(tmp_path / "missing")
