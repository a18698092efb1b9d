"""Folders and archives that need not be trusted, and what the names in them say."""

import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, cast
from unicodedata import category, normalize

from similarity.errors import DataError, UserError, one_line

SPLIT_OF_NAME = {
    "train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
MAX_NAME_BYTES = 255
_SPLIT = re.compile(rf"(?:.*[_-])?({'|'.join(SPLIT_OF_NAME)})(?:[_ -]?(?:set|data|images?|imgs?|\d+))?")
# A RuntimeError is an encryption, or a compression that Python does not know.
_FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)
_TAR_END = 2 * tarfile.BLOCKSIZE  # zeros
_LONGEST_TAR_END = 1 << 20  # up to the size of a tape's record
_ZIP_END, _ZIP_END_BYTES = b"PK\5\6", 22 + 0xFFFF  # with the longest comment
_MANY = 0xFFFF  # members: the number is elsewhere, or only its last 16 bits are here
_NAME_IS_UTF8 = 0x800


def split_of_name(name: str) -> str | None:
    """Return the split, one of `SPLIT_NAMES`, that a folder or a cell of a table names, as in ``train2017``, if any."""
    found = _SPLIT.fullmatch(name.casefold())
    return SPLIT_OF_NAME[found[1]] if found else None


def fold(name: str) -> str:
    """Return what names have in common that differ only in case, spaces around, or the form of accents."""
    return normalize("NFC", name).casefold().strip()


def is_odd(character: str) -> bool:
    """Return whether a character is a control character, or stands for a byte that is not valid UTF-8."""
    return category(character) in {"Cc", "Cs"}


def printable(path: PurePosixPath) -> str:
    """Return a path with control characters, and what is not valid UTF-8, escaped."""
    return "".join(each.encode("unicode_escape").decode() if is_odd(each) else each for each in str(path))


def is_hidden(path: PurePosixPath) -> bool:
    """Return whether a name in a path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def can_be_class(label: str) -> bool:
    """Return whether a folder can have the name of a class."""
    has_odd = label.startswith(".") or any(each in "/\\" or is_odd(each) for each in label)
    return not has_odd and len(label.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES


def check_source(source: Path) -> list[PurePosixPath]:
    """Refuse what DVC, which reads the source before `fetch`, cannot read, or would for ever; return all files in it.

    Raises:
        DataError: names are not valid UTF-8; it names all.
        UserError: there is no such source, it has a ``.dvcignore``, or as `list_files`.
    """
    if not source.exists():
        advice = "write its absolute path, without ~, since --queue and --temp run experiments in another folder"
        raise UserError(f"data.source: {source} does not exist: {advice}")
    if source.is_file():
        return []
    files = list_files(source)
    if ignoring := [path for path in files if path.name == ".dvcignore"]:
        raise UserError(f"data.source has {str(ignoring[0])!r}, with which DVC tracks no folder: rename it")
    if odd := [path for path in files if any(category(each) == "Cs" for each in str(path))]:
        problems = [f"the name '{printable(path)}' is not valid UTF-8" for path in odd]
        raise DataError(problems, "rename this in the source, since DVC cannot list it")
    return files


def list_files(source: Path) -> list[PurePosixPath]:
    """List all files below a folder, as paths relative to it, following links; a link to nothing counts as a file.

    Raises:
        UserError: something is neither file nor folder, such as a FIFO, or is a link to a folder that it is in.
    """
    return list(_walk(source, PurePosixPath(), frozenset()))


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


def unpack_archive(path: Path, target: Path) -> Iterator[PurePosixPath]:
    """Unpack an archive into a folder, yielding each file's path in it, without a leading slash as with tar.

    Raises:
        UserError: it is no .zip or .tar, damaged, encrypted or cut off; or a file would end up outside of the folder,
            is there already, or is a link or a device in a .tar.
    """
    try:
        for name, packed in _zip_files(path) if zipfile.is_zipfile(path) else _tar_files(path):
            below = PurePosixPath(name.lstrip("/"))
            if ".." in below.parts:
                raise ValueError(f"the member {name!r} points outside of the archive")
            if (target / below).exists():
                raise ValueError(f"the member {name!r} is listed twice, or in another archive as well")
            (target / below).parent.mkdir(parents=True, exist_ok=True)
            with packed, (target / below).open("wb") as written:
                shutil.copyfileobj(packed, written)
            yield below
    except (*_FAULTS, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the decompressors' own errors come without a number
        reason = one_line(error)
        if reason.startswith("file could not be opened"):  # by any of tarfile's methods, which it lists
            reason = "it is neither, or cut off"
        advice = "get it again, or unpack it yourself; data.source must be a folder, an archive or a recipe (.yaml)"
        raise UserError(f"{path} cannot be unpacked as a .zip or .tar ({reason}): {advice}") from error


def _zip_files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Open each file, of which there must be as many as the end says: a wrong length in the list can hide some."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for entry in members:
            if not entry.filename.endswith("/"):
                yield _zip_name(entry), archive.open(entry)
            elif entry.file_size:
                raise zipfile.BadZipFile(f"the folder {entry.filename!r} has the content of a file")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END_BYTES))
        end = file.read().rpartition(_ZIP_END)[2]
    count = int.from_bytes(end[6:8], "little")
    if count not in {_MANY, len(members) & _MANY}:
        raise zipfile.BadZipFile(f"{len(members)} of {count} members are listed")


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return the path as in a folder: macOS writes UTF-8 without saying so, and Windows backslashes."""
    name = entry.filename
    if not entry.flag_bits & _NAME_IS_UTF8:
        with suppress(UnicodeError):  # what Python made of it is right
            name = name.encode("cp437").decode()
    return name.replace("\\", "/")


def _tar_files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Open each file, after which only zeros may come, enough and not too many.

    Python takes a header that it cannot read, and the end of the file, for the end of the archive. Where it is
    compressed, its checksum is at the very end.
    """
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isfile():
                yield info.name, cast("IO[bytes]", archive.extractfile(info))
            elif not info.isdir():
                raise tarfile.TarError(f"the member {info.name!r} is a link or a device")
        file = cast("IO[bytes]", archive.fileobj)
        file.seek(archive.offset)
        rest = file.read(_LONGEST_TAR_END + 1)
        if any(rest) or not _TAR_END <= len(rest) <= _LONGEST_TAR_END:
            raise tarfile.ReadError(f"after member {len(archive.getmembers())} comes neither another one nor the end")
