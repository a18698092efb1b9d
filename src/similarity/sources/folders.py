"""Walking through a folder that need not be trusted, and bringing its images to another one."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from similarity.errors import UserError

How = Literal["copy", "link", "move"]
_FICLONE = 0x40049409  # of Linux' ioctl: share the blocks of another file, until one of them is changed


def list_files(source: Path) -> list[PurePosixPath]:
    """List all files below a folder, as paths relative to it, following links; a link to nothing counts as a file.

    Raises:
        UserError: something is neither file nor folder, such as a FIFO or a device, or is a link to a folder that it
            is in.
        OSError: a folder cannot be read.
    """
    return list(_walk(source, PurePosixPath(), frozenset()))


def check_source(source: Path) -> None:
    """Refuse what could be read for ever, by `fetch` or by DVC, which looks through the source before.

    Raises:
        UserError: as `list_files`, and also for `source` itself.
        OSError: a folder cannot be read.
    """
    if source.is_dir():
        list_files(source)
    elif source.exists() and not source.is_file():
        raise _no_file(source)


def bring_images(source: Path, keys: Mapping[PurePosixPath, PurePosixPath], target: Path, how: How) -> Iterator[Path]:
    """Bring files of a folder to `target`, yielding each one's new path.

    Copies share the originals' blocks where the file system can (Btrfs, XFS), until one of the two is changed.

    Args:
        source: the folder.
        keys: the path below `target`, ``<class>/<name>``, of each file by its path below `source`.
        target: an empty folder.
        how: whether files are copied, moved, or symbolic links to them are made.

    Raises:
        UserError: a file is a link to nothing, or was removed meanwhile.
    """
    for label in {key.parts[0] for key in keys.values()}:
        (target / label).mkdir()
    bring = {"copy": _clone, "link": _link, "move": Path.rename}[how]
    try:
        for path, key in keys.items():
            bring(source / path, target / key)
            yield target / key
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is a link to nothing, or was just removed: correct the source") from error


def _link(original: Path, link: Path) -> None:
    link.symlink_to(original.resolve(strict=True))


def _clone(original: Path, copy: Path) -> None:
    with original.open("rb") as read, copy.open("wb") as written:
        try:
            fcntl.ioctl(written, _FICLONE, read.fileno())
        except OSError:  # another file system, or one that cannot
            shutil.copyfileobj(read, written, 1 << 20)


def _walk(folder: Path, here: PurePosixPath, around: frozenset[Path]) -> Iterator[PurePosixPath]:
    real = folder.resolve()
    if real in around:
        raise UserError(f"{str(folder)!r} is a link to a folder that it is in: remove it")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(folder / entry.name, here / entry.name, around | {real})
            elif entry.is_file() or not os.path.exists(entry.path):  # noqa: PTH110  # a string
                yield here / entry.name
            else:
                raise _no_file(folder / entry.name)


def _no_file(path: Path) -> UserError:
    return UserError(f"{str(path)!r} is no file, but a FIFO, a socket or a device, or a link to one: remove it")
