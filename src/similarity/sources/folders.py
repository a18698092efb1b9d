"""Walking through a folder that nobody has to trust."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from similarity.errors import UserError


class Tree(NamedTuple):
    """What lies below a folder, as paths relative to it."""

    files: list[PurePosixPath]
    folders: list[PurePosixPath]


def list_tree(source: Path) -> Tree:
    """Lists all files and folders below a folder, following links; a link to nothing counts as a file.

    Raises:
        UserError: something is neither, such as a FIFO or a device, or is a link to a folder that it lies in.
        OSError: a folder cannot be read.
    """
    tree = Tree([], [])
    for path, is_folder in _walk(source, PurePosixPath(), frozenset()):
        (tree.folders if is_folder else tree.files).append(path)
    return tree


def check_source(source: Path) -> None:
    """Refuses what could be read for ever: not only by `fetch`, also by DVC, which looks through it before.

    Raises:
        UserError: as `list_tree`, and also for `source` itself.
        OSError: a folder cannot be read.
    """
    if source.is_dir():
        for _ in _walk(source, PurePosixPath(), frozenset()):
            pass
    elif source.exists() and not source.is_file():
        raise _no_file(source)


def _walk(folder: Path, here: PurePosixPath, around: frozenset[Path]) -> Iterator[tuple[PurePosixPath, bool]]:
    real = folder.resolve()
    if real in around:
        raise UserError(f"{str(folder)!r} is a link to a folder that it lies in: remove it")
    with os.scandir(folder) as entries:
        for entry in entries:
            path, is_folder = here / entry.name, entry.is_dir()
            if not is_folder and not entry.is_file() and os.path.exists(entry.path):  # noqa: PTH110  # a string
                raise _no_file(folder / entry.name)
            yield path, is_folder
            if is_folder:
                yield from _walk(folder / entry.name, path, around | {real})


def _no_file(path: Path) -> UserError:
    return UserError(f"{str(path)!r} is no file, but a FIFO, a socket or a device, or a link to one: remove it")
