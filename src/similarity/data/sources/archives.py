"""Unpacking .zip and .tar.* files that need not be trusted."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

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


class _Member(NamedTuple):
    """A file or folder in an archive: its path, its unpacked size in bytes, and why it is not unpacked, if so."""

    path: PurePosixPath
    size: int
    is_folder: bool
    fault: str | None
    unpack: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Return whether a file is, by its content, a .zip, or a .tar with or without compression."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _DAMAGE:
        return False


def list_archives(paths: Sequence[Path], target: Path) -> dict[PurePosixPath, Path]:
    """List the files in archives, after checking that all of them can be unpacked into the same folder.

    Returns:
        The archive that each file is in, by its path in it.

    Raises:
        DamagedArchiveError: an archive is damaged, or members are missing, as where it is cut off.
        UserError: a member would end up outside the folder, is a link or a device, is encrypted, or is listed twice;
            or the free disk space is too small.
    """
    owners, size = dict[PurePosixPath, Path](), 0
    for path in paths:
        with _opened(path) as members:
            listed = list(members)
        for member in listed:
            if fault := _what_is_wrong(member, path, owners):
                advice = "unpack it yourself, and set data.source to the folder"
                raise UserError(f"{path}: the member {str(member.path)!r} {fault}, so nothing was unpacked: {advice}")
            size += member.size
            if not member.is_folder:
                owners[member.path] = path
    if size > (free := shutil.disk_usage(target).free):
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        raise UserError(
            f"{paths[0]}{more} would unpack to {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of disk are free"
        )
    return owners


def unpack_archives(paths: Sequence[Path], target: Path) -> Iterator[Path]:
    """Unpack the files in archives that `list_archives` has checked into one folder, yielding each one's path.

    Raises:
        DamagedArchiveError: the content of a file is damaged.
    """
    for path in paths:
        with _opened(path) as members:
            for member in members:
                if not member.is_folder:
                    unpacked = target / member.path
                    unpacked.parent.mkdir(parents=True, exist_ok=True)
                    with cast("IO[bytes]", member.unpack()) as packed, unpacked.open("wb") as file:
                        shutil.copyfileobj(packed, file, _CHUNK)
                    yield unpacked


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Member]]:
    """Open an archive; yield an iterator over its members, which raises at the end if there should be more."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _zip_members(archive, path)
        else:
            with tarfile.open(path) as tar:
                yield _tar_members(tar)
    except (*_DAMAGE, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the decompressors' own errors come without a number
        reason = " ".join(str(error).split())
        raise DamagedArchiveError(f"{path} is cut off, damaged, or no archive ({reason}): get it again") from error


def _what_is_wrong(member: _Member, archive: Path, owners: Mapping[PurePosixPath, Path]) -> str | None:
    if ".." in member.path.parts:
        return "points outside of the archive"
    if member.fault:
        return member.fault
    if not member.is_folder and (owner := owners.get(member.path)):
        return "is listed twice" if owner == archive else f"is in {owner} as well"
    return None


def _zip_members(archive: zipfile.ZipFile, path: Path) -> Iterator[_Member]:
    """Yield the members, of which there must be as many as the end says: a wrong length in the list can hide some."""
    for entry in archive.infolist():
        if "\0" in entry.orig_filename or entry.header_offset < 0 or (entry.is_dir() and entry.file_size):
            raise zipfile.BadZipFile(f"the entry of {entry.orig_filename!r} is wrong")
        opened = partial(archive.open, entry)
        yield _Member(_below(_zip_name(entry)), entry.file_size, entry.is_dir(), _zip_fault(entry), opened)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END))
        tail = file.read()
    at, members = tail.rfind(b"PK\5\6") + 10, len(archive.infolist())
    count = int.from_bytes(tail[at : at + 2], "little")
    if count not in {_MANY, members & _MANY}:  # some writers know no larger numbers
        raise zipfile.BadZipFile(f"{members} of {count} members are listed")


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


def _below(name: str) -> PurePosixPath:
    """Return a member's path below the folder that it is unpacked to, as tar does: without a slash in front."""
    return PurePosixPath(name.lstrip("/"))


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    """Yield the members, after which only zeros may come, enough and not too many.

    Python takes a header that it cannot read, and the end of the file, for the end of the archive. Where it is
    compressed, its checksum is at the very end.
    """
    for info in archive:
        if info.size < 0:  # would lead back to where it stands, for ever
            raise tarfile.ReadError(f"the size of {info.name!r} is negative")
        fault, opened = None if info.isfile() or info.isdir() else _NOT_PLAIN, partial(archive.extractfile, info)
        yield _Member(_below(info.name), info.size, info.isdir(), fault, opened)
    file = cast("IO[bytes]", archive.fileobj)
    file.seek(archive.offset)
    rest = file.read(_END + _LONGEST_PADDING + 1)
    if rest.count(0) < len(rest) or not _END <= len(rest) <= _END + _LONGEST_PADDING:
        raise tarfile.ReadError(f"after member {len(archive.getmembers())} comes neither another one nor the end")
