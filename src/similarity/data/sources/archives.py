"""Unpacking .zip and .tar.* files that need not be trusted."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from similarity.errors import UserError, one_line

# A RuntimeError is an encryption, or a compression that Python does not know.
_FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)
_TAR_END = 2 * tarfile.BLOCKSIZE  # zeros
_LONGEST_TAR_END = 1 << 20  # up to the size of a tape's record
_ZIP_END, _ZIP_END_BYTES = b"PK\5\6", 22 + 0xFFFF  # with the longest comment
_MANY = 0xFFFF  # members: the number is elsewhere, or only its last 16 bits are here
_NAME_IS_UTF8 = 0x800


class UnpackingError(UserError):
    """The archive is cut off, damaged, or not an archive: another copy of it may be whole."""


def is_archive(path: Path) -> bool:
    """Return whether a file is, by its content, a .zip, or a .tar with or without compression."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _FAULTS:
        return False


def unpack_archive(path: Path, target: Path) -> Iterator[PurePosixPath]:
    """Unpack an archive into a folder, yielding each file's path in it.

    Raises:
        UnpackingError: it is damaged, encrypted or cut off; or a file would end up outside of the folder, is there
            already, or is a link or a device in a .tar.
    """
    try:
        yield from _unpack_zip(path, target) if zipfile.is_zipfile(path) else _unpack_tar(path, target)
    except (*_FAULTS, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the decompressors' own errors come without a number
        advice = "get it again, or unpack it yourself and set data.source to the folder"
        raise UnpackingError(f"{path} cannot be unpacked ({one_line(error)}): {advice}") from error


def _unpack_zip(path: Path, target: Path) -> Iterator[PurePosixPath]:
    """Unpack the files, of which there must be as many as the end says: a wrong length in the list can hide some."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for entry in members:
            if not entry.filename.endswith("/"):
                yield _write(_zip_name(entry), target, partial(archive.open, entry))
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


def _unpack_tar(path: Path, target: Path) -> Iterator[PurePosixPath]:
    """Unpack the files, after which only zeros may come, enough and not too many.

    Python takes a header that it cannot read, and the end of the file, for the end of the archive. Where it is
    compressed, its checksum is at the very end.
    """
    with tarfile.open(path) as archive:
        for info in archive:
            if not info.isfile() and not info.isdir():
                raise tarfile.TarError(f"the member {info.name!r} is a link or a device")
            if info.isfile():
                yield _write(info.name, target, partial(archive.extractfile, info))
        file = cast("IO[bytes]", archive.fileobj)
        file.seek(archive.offset)
        rest = file.read(_LONGEST_TAR_END + 1)
        if any(rest) or not _TAR_END <= len(rest) <= _LONGEST_TAR_END:
            raise tarfile.ReadError(f"after member {len(archive.getmembers())} comes neither another one nor the end")


def _write(name: str, target: Path, opened: Callable[[], IO[bytes] | None]) -> PurePosixPath:
    """Write a file of an archive below the folder, and return its path, without a leading slash as with tar."""
    path = PurePosixPath(name.lstrip("/"))
    if ".." in path.parts:
        raise ValueError(f"the member {name!r} points outside of the archive")
    if (target / path).exists():
        raise ValueError(f"the member {name!r} is listed twice, or in another archive as well")
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    with cast("IO[bytes]", opened()) as packed, (target / path).open("wb") as written:
        shutil.copyfileobj(packed, written)
    return path
