"""Unpacking .zip and .tar.* files that need not be trusted."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from similarity.errors import UserError

# A RuntimeError is a version or an encryption that only one of a member's two headers names.
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, UnicodeDecodeError)
_CHUNK = 1 << 20
_END = 2 * tarfile.BLOCKSIZE  # zeros that end a .tar
_LONGEST_PADDING = 1 << 20  # zeros after the end, up to the size of a tape's record
_ZIP_END = 22 + 0xFFFF  # bytes at most, of a .zip's end record and the comment after it
_MANY = 0xFFFF  # in it, instead of a number that is too large for it
_ENCRYPTED, _UTF8 = 1, 0x800  # flags of a .zip's member, the second for its name
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_UNIX = 3  # the system that made a .zip's member
_UNIX_TYPE, _UNIX_PLAIN = 0o170000, {0, 0o040000, 0o100000}  # unknown, a folder, or a file
_NOT_PLAIN = "is a link or a device"


class DamagedArchiveError(UserError):
    """The archive is cut off, damaged, or not an archive: another copy of it may be whole."""


def is_archive(path: Path) -> bool:
    """Return whether a file is, by its content, a .zip, or a .tar with or without compression."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _DAMAGE:
        return False


def unpack_archives(paths: Sequence[Path], target: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Unpack archives into one folder, yielding each file's path in it, and its archive.

    Raises:
        DamagedArchiveError: an archive is damaged, or files are missing, as where it is cut off.
        UserError: a file would end up outside the folder, is a link or a device, is encrypted, or is listed twice.
    """
    for path in paths:
        with _damage_named(path):
            for name in _unpack_zip(path, target) if zipfile.is_zipfile(path) else _unpack_tar(path, target):
                yield name, path


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the decompressors' own errors come without a number
        reason = " ".join(str(error).split())
        raise DamagedArchiveError(f"{path} is cut off, damaged, or no archive ({reason}): get it again") from error


def _unpack_zip(path: Path, target: Path) -> Iterator[PurePosixPath]:
    """Unpack the files, of which there must be as many as the end says: a wrong length in the list can hide some."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for entry in members:
            if "\0" in entry.orig_filename or entry.header_offset < 0 or (entry.is_dir() and entry.file_size):
                raise zipfile.BadZipFile(f"the entry of {entry.orig_filename!r} is wrong")
            if not entry.is_dir():
                yield _write(path, _zip_name(entry), target, _zip_fault(entry), partial(archive.open, entry))
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END))
        tail = file.read()
    at = tail.rfind(b"PK\5\6") + 10
    count = int.from_bytes(tail[at : at + 2], "little")
    if count not in {_MANY, len(members) & _MANY}:  # some writers know no larger numbers
        raise zipfile.BadZipFile(f"{len(members)} of {count} members are listed")


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return the path as in a folder: names from Unix and macOS are bytes, and only others' have backslashes."""
    if entry.create_system != _UNIX:
        return entry.filename.replace("\\", "/")
    if entry.flag_bits & _UTF8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # Python 3.13 finds a name in UTF-8 elsewhere
        return entry.filename


def _zip_fault(entry: zipfile.ZipInfo) -> str | None:
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _COMPRESSIONS:
        return "is compressed in a way that Python does not read, as Windows' Explorer does where it is over 2 GB"
    return None if entry.external_attr >> 16 & _UNIX_TYPE in _UNIX_PLAIN else _NOT_PLAIN


def _unpack_tar(path: Path, target: Path) -> Iterator[PurePosixPath]:
    """Unpack the files, after which only zeros may come, enough and not too many.

    Python takes a header that it cannot read, and the end of the file, for the end of the archive. Where it is
    compressed, its checksum is at the very end.
    """
    with tarfile.open(path) as archive:
        for info in archive:
            if info.size < 0:  # would lead back to where it stands, for ever
                raise tarfile.ReadError(f"the size of {info.name!r} is negative")
            if not info.isdir():
                fault = None if info.isfile() else _NOT_PLAIN
                yield _write(path, info.name, target, fault, partial(archive.extractfile, info))
        file = cast("IO[bytes]", archive.fileobj)
        file.seek(archive.offset)
        rest = file.read(_END + _LONGEST_PADDING + 1)
        if rest.count(0) < len(rest) or not _END <= len(rest) <= _END + _LONGEST_PADDING:
            raise tarfile.ReadError(f"after member {len(archive.getmembers())} comes neither another one nor the end")


def _write(
    archive: Path, name: str, target: Path, fault: str | None, opened: Callable[[], IO[bytes] | None]
) -> PurePosixPath:
    """Unpack a file and return its path, unless it has a fault or cannot be there."""
    path = PurePosixPath(name.lstrip("/"))  # as tar does
    if ".." in path.parts:
        fault = "points outside of the archive"
    elif fault is None and (target / path).exists():
        fault = "is listed twice, or in another archive as well"
    if fault:
        raise UserError(
            f"{archive}: the member {name!r} {fault}: unpack it yourself, and set data.source to the folder"
        )
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    with cast("IO[bytes]", opened()) as packed, (target / path).open("wb") as written:
        shutil.copyfileobj(packed, written, _CHUNK)
    return path
