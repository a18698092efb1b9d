"""Walking through a folder that need not be trusted, the keys of its images, and bringing them to another one."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import category, normalize

from similarity.errors import DataError, UserError

SPLIT_OF_NAME = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
_SPLIT = re.compile(rf"(?:.*[_-])?({'|'.join(SPLIT_OF_NAME)})(?:[_ -]?(?:set|data|images?|imgs?|\d+))?")
_JOIN = "__"  # of the names of folders and file in a key
_LONGEST = 255  # bytes


class Place(NamedTuple):
    """Where an image belongs: its class, its split if one is given, and the names that its key is made of."""

    label: str
    split: str | None
    names: tuple[str, ...]


def split_of_name(name: str) -> str | None:
    """Return the split, one of `SPLIT_NAMES`, that a folder or a cell of a table names, as in ``train2017``, if any."""
    found = _SPLIT.fullmatch(name.casefold())
    return SPLIT_OF_NAME[found[1]] if found else None


def printable(path: PurePosixPath) -> str:
    """Return a path with control characters, and what is not valid UTF-8, escaped."""
    return "".join(each.encode("unicode_escape").decode() if _is_odd(each) else each for each in str(path))


def fold(name: str) -> str:
    """Return what names have in common that differ only in case, spaces around, or the form of accents."""
    return normalize("NFC", name).casefold().strip()


def is_hidden(path: PurePosixPath) -> bool:
    """Return whether a name in a path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def can_be_class(label: str) -> bool:
    """Return whether a folder can have the name of a class."""
    is_odd = label.startswith(".") or any(each in "/\\" or _is_odd(each) for each in label)
    return not is_odd and len(label.encode("utf-8", "surrogateescape")) <= _LONGEST


def make_keys(places: Mapping[PurePosixPath, Place]) -> dict[PurePosixPath, PurePosixPath]:
    """Make the key ``<class>/<name>`` of each image; names of other folders stand before the file's.

    Raises:
        DataError: names cannot be keys, or two images would get the same one; it names all.
    """
    keys = {path: _make_key(place) for path, place in places.items()}
    problems, owner = list[str](), dict[PurePosixPath, PurePosixPath]()
    for path, key in keys.items():
        if any(character == "\\" or _is_odd(character) for character in str(path)):
            problems.append(f"the name {str(path)!r} has a backslash or control characters, or is not valid UTF-8")
        elif len(os.fsencode(key.name)) > _LONGEST:
            problems.append(f"the names in {str(path)!r} are too long for one of {_LONGEST} bytes")
        elif (other := owner.setdefault(key, path)) != path:
            problems.append(f"{str(other)!r} and {str(path)!r} would both be {str(key)!r}")
    if problems:
        raise DataError(problems, "rename this in the source")
    return keys


def _make_key(place: Place) -> PurePosixPath:
    *folders, name = place.names
    if place.label in folders:
        folders.remove(place.label)
    return PurePosixPath(place.label, _JOIN.join([*folders, name]))


def _is_odd(character: str) -> bool:
    return category(character) in {"Cc", "Cs"}


def list_files(source: Path) -> list[PurePosixPath]:
    """List all files below a folder, as paths relative to it, following links; a link to nothing counts as a file.

    Raises:
        UserError: something is neither file nor folder, such as a FIFO, or is a link to a folder that it is in.
    """
    return list(_walk(source, PurePosixPath(), frozenset()))


def check_source(source: Path) -> list[PurePosixPath]:
    """Refuse what DVC, which reads the source before `fetch`, cannot read, or would for ever; return all files in it.

    Raises:
        DataError: names are not valid UTF-8; it names all.
        UserError: there is no such source, it has a ``.dvcignore``, or as `list_files`.
    """
    if not source.exists():
        other = "an experiment that is queued or runs with --temp has another working folder, so give an absolute path"
        advice = f"write {source.expanduser()}" if source.parts[:1] == ("~",) else other
        raise UserError(f"data.source: {source} does not exist: {advice}")
    if not source.is_dir() and not source.is_file():
        raise _no_file(source)
    files = list_files(source) if source.is_dir() else []
    if ignoring := [path for path in files if path.name == ".dvcignore"]:
        raise UserError(f"data.source has {str(ignoring[0])!r}, with which DVC tracks no folder: rename it")
    if odd := [printable(path) for path in files if any(category(each) == "Cs" for each in str(path))]:
        problems = [f"the name '{path}' is not valid UTF-8" for path in odd]
        raise DataError(problems, "rename this in the source, since DVC cannot list it")
    return files


def bring_images(source: Path, keys: Mapping[PurePosixPath, PurePosixPath], target: Path, move: bool) -> Iterator[Path]:
    """Copy or move files, by their paths below `source`, to their keys below a folder, yielding each one's new path.

    Copies share the originals' blocks where the file system can (APFS, Btrfs, XFS), until one of the two is changed.

    Raises:
        UserError: a file is a link to nothing, or was removed meanwhile.
    """
    for label in {key.parts[0] for key in keys.values()}:
        (target / label).mkdir()
    try:
        for path, key in keys.items():
            (Path.rename if move else _copy)(source / path, target / key)
            yield target / key
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is a link to nothing, or was just removed: correct the source") from error


def _copy(original: Path, copy: Path) -> None:
    from dvc_objects.fs.system import reflink  # takes 0.3 s

    try:
        reflink(original, copy)
    except OSError:  # another file system, or one that cannot
        shutil.copyfile(original, copy)


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
