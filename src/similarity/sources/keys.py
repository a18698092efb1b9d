"""Names of folders and files: what they say about splits, and the keys that are made of them."""

from collections.abc import Mapping
from os import fsencode
from pathlib import PurePosixPath
from typing import NamedTuple
from unicodedata import category

from similarity.errors import DataError

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
_JOIN = "__"  # of the names of folders and file in a key
_LONGEST = 255  # bytes


class Place(NamedTuple):
    """Where an image belongs: its class, its split if one is given, and the names that its key is made of."""

    label: str
    split: str | None
    names: tuple[str, ...]


def split_of_name(name: str) -> str | None:
    """Return the split, one of `SPLIT_NAMES`, that a folder or a cell of a table names, if it names one."""
    return SPLIT_OF_NAME.get(name.casefold())


def printable(path: PurePosixPath) -> str:
    """Return a path with control characters, and what is not valid UTF-8, escaped."""
    return "".join(each.encode("unicode_escape").decode() if _is_odd(each) else each for each in str(path))


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
        elif len(fsencode(key.name)) > _LONGEST:
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
