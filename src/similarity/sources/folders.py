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
    for entry in _walk(source, frozenset()):
        path = PurePosixPath(Path(entry.path).relative_to(source).as_posix())
        (tree.folders if entry.is_dir() else tree.files).append(path)
    return tree


def check_source(source: Path) -> None:
    """Refuses what could be read for ever: not only by `fetch`, also by DVC, which looks through it before.

    Raises:
        UserError: as `list_tree`, and also for `source` itself.
        OSError: a folder cannot be read.
    """
    if source.is_dir():
        for _ in _walk(source, frozenset()):
            pass
    elif source.exists() and not source.is_file():
        raise _no_file(source)


def _walk(folder: Path, around: frozenset[Path]) -> Iterator[os.DirEntry[str]]:
    real = folder.resolve()
    if real in around:
        raise UserError(f"{str(folder)!r} is a link to a folder that it lies in: remove it")
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir() and not entry.is_file() and os.path.exists(entry.path):  # noqa: PTH110  # as cheap as it gets
                raise _no_file(Path(entry.path))
            yield entry
            if entry.is_dir():
                yield from _walk(Path(entry.path), around | {real})


def _no_file(path: Path) -> UserError:
    return UserError(f"{str(path)!r} is no file, but a FIFO, a socket or a device, or a link to one: remove it")
