"""Walk through a folder that need not be trusted, and read what the names in it say."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from unicodedata import category, normalize

from similarity.errors import DataError, UserError

SPLIT_OF_NAME = {
    "train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
MAX_NAME_BYTES = 255
_SPLIT = re.compile(rf"(?:.*[_-])?({'|'.join(SPLIT_OF_NAME)})(?:[_ -]?(?:set|data|images?|imgs?|\d+))?")


def split_of_name(name: str) -> str | None:
    """Return the split, one of `SPLIT_NAMES`, that a folder or a cell of a table names, as in ``train2017``, if any."""
    found = _SPLIT.fullmatch(name.casefold())
    return SPLIT_OF_NAME[found[1]] if found else None


def fold(name: str) -> str:
    """Return what names have in common that differ only in case, spaces around, or the form of accents."""
    return normalize("NFC", name).casefold().strip()


def printable(path: PurePosixPath) -> str:
    """Return a path with control characters, and what is not valid UTF-8, escaped."""
    return "".join(each.encode("unicode_escape").decode() if is_odd(each) else each for each in str(path))


def is_hidden(path: PurePosixPath) -> bool:
    """Return whether a name in a path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def is_odd(character: str) -> bool:
    """Return whether a character is a control character, or stands for a byte that is not valid UTF-8."""
    return category(character) in {"Cc", "Cs"}


def can_be_class(label: str) -> bool:
    """Return whether a folder can have the name of a class."""
    has_odd = label.startswith(".") or any(each in "/\\" or is_odd(each) for each in label)
    return not has_odd and len(label.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES


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
    if source.is_file():
        return []
    files = list_files(source)
    if ignoring := [path for path in files if path.name == ".dvcignore"]:
        raise UserError(f"data.source has {str(ignoring[0])!r}, with which DVC tracks no folder: rename it")
    if odd := [printable(path) for path in files if any(category(each) == "Cs" for each in str(path))]:
        problems = [f"the name '{path}' is not valid UTF-8" for path in odd]
        raise DataError(problems, "rename this in the source, since DVC cannot list it")
    return files


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
                name = str(folder / entry.name)
                raise UserError(f"{name!r} is no file, but a FIFO, a socket or a device, or a link to one: remove it")
