"""Unpacking .zip and .tar.* files that need not be trusted."""

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from similarity.errors import UserError

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # an encrypted member
    UnicodeDecodeError,
)
_CHUNK = 1 << 20
_END = 2 * tarfile.BLOCKSIZE  # zeros that end a .tar
_LONGEST_PADDING = 1 << 20  # zeros after the end, up to the size of a tape's record
_ZIP_END = 22 + (1 << 16) + 20 + 56  # bytes of a .zip's two end records and the comment between them
_UINT16 = 0xFFFF
_UTF8 = 0x800  # flag of a .zip's member whose name is in UTF-8
_UNIX = 3  # the system that made a .zip's member
_UNIX_TYPE = 0o170000
_UNIX_PLAIN = {0, 0o040000, 0o100000}  # unknown, a folder, or a file
_MODE = 0o644  # of unpacked files


class DamagedArchiveError(UserError):
    """The archive is cut off, damaged, or not an archive: another copy of it may be whole."""


class _Member(NamedTuple):
    """A file or folder in an archive: its path, unpacked size in bytes, and whether it is neither link nor device."""

    path: PurePosixPath
    size: int
    is_folder: bool
    is_plain: bool


def is_archive(path: Path) -> bool:
    """Return whether a file is, by its content, a .zip, or a .tar with or without compression."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _DAMAGE:
        return False


def list_archives(paths: Sequence[Path], target: Path) -> dict[PurePosixPath, Path]:
    """List the files in archives, after checking that all of them can be unpacked into the same folder.

    Args:
        paths: of the archives.
        target: the folder.

    Returns:
        The archive that each file is in, by its path in it.

    Raises:
        DamagedArchiveError: an archive is damaged, or members are missing, as where it is cut off.
        UserError: a member would end up outside the folder, is a link or a device, or is listed twice; or the free
            disk space is too small.
    """
    owners, size = dict[PurePosixPath, Path](), 0
    for path in paths:
        with _opened(path) as archive:
            members = _zip_members(path, archive) if isinstance(archive, zipfile.ZipFile) else _tar_members(archive)
        for member in members:
            if fault := _what_is_wrong(member, path, owners):
                raise UserError(f"{path}: the member {str(member.path)!r} {fault}: nothing was unpacked")
            size += member.size
            if not member.is_folder:
                owners[member.path] = path
    free = shutil.disk_usage(target).free
    if size > free:
        names = " and ".join(map(str, paths[:2])) if len(paths) < 3 else f"{paths[0]} and {len(paths) - 1} more"
        raise UserError(f"{names} would unpack to {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of disk are free")
    return owners


def unpack_archives(paths: Sequence[Path], target: Path) -> Iterator[Path]:
    """Unpack archives that `list_archives` has checked into one folder, yielding the archive of each file.

    Raises:
        DamagedArchiveError: the content of a file is damaged.
    """
    for path in paths:
        with _opened(path) as archive:
            if isinstance(archive, zipfile.ZipFile):
                for entry in archive.infolist():
                    entry.filename = str(_zip_path(entry)) + "/" * entry.is_dir()
                    archive.extract(entry, target)
                    yield path
            else:
                for member in archive:
                    archive.extract(member, target, filter=_as_data)
                    yield path


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield archive
        else:
            _check_python()
            with tarfile.open(path) as tar:
                yield tar
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error  # the decompressors' own errors come without a number


def _damaged(path: Path, error: Exception) -> DamagedArchiveError:
    reason = " ".join(str(error).split())
    return DamagedArchiveError(f"{path} is cut off, damaged, or no archive ({reason}): get it again")


def _check_python() -> None:
    if not hasattr(tarfile, "data_filter"):
        raise UserError("to unpack .tar files safely, Python 3.10.12, 3.11.4, 3.12 or newer is needed: update Python")


def _as_data(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo:
    member = tarfile.data_filter(member, target)
    return member if member.isdir() else member.replace(mode=_MODE, deep=False)


def _what_is_wrong(member: _Member, archive: Path, owners: dict[PurePosixPath, Path]) -> str | None:
    if member.path.is_absolute() or ".." in member.path.parts:
        return "points outside of the archive"
    if not member.is_plain:
        return "is a link or a device"
    if not member.is_folder and (owner := owners.get(member.path)):
        return "is listed twice" if owner == archive else f"is in {owner} as well"
    return None


def _zip_members(path: Path, archive: zipfile.ZipFile) -> list[_Member]:
    entries = archive.infolist()
    _check_count(path, len(entries))
    for entry in entries:
        if "\0" in entry.orig_filename or entry.header_offset < 0 or (entry.is_dir() and entry.file_size):
            raise zipfile.BadZipFile(f"the entry of {entry.orig_filename!r} is wrong")
    return [
        _Member(
            _zip_path(entry), entry.file_size, entry.is_dir(), entry.external_attr >> 16 & _UNIX_TYPE in _UNIX_PLAIN
        )
        for entry in entries
    ]


def _zip_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    """Return the path as in a folder: names from Unix and macOS are bytes, and only others' have backslashes."""
    if entry.create_system != _UNIX:
        return PurePosixPath(entry.filename.replace("\\", "/"))
    if entry.flag_bits & _UTF8:
        return PurePosixPath(entry.filename)
    try:
        return PurePosixPath(entry.filename.encode("cp437").decode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # Python 3.13 finds a name in UTF-8 elsewhere
        return PurePosixPath(entry.filename)


def _check_count(path: Path, members: int) -> None:
    """Check that a .zip lists as many members as it says at its end: a wrong length in the list can hide some."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END))
        tail = file.read()
    end, large_end = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    if count == _UINT16 and large_end >= 0:
        count = int.from_bytes(tail[large_end + 32 : large_end + 40], "little")
    if (count - members) & _UINT16:  # some writers know no larger numbers
        raise zipfile.BadZipFile(f"{members} of {count} members are listed")


def _tar_members(archive: tarfile.TarFile) -> list[_Member]:
    """Read all headers, and to the very end, where a compressed archive has its checksum."""
    members = []
    for entry in archive:
        if entry.size < 0:  # would lead back to where it stands, for ever
            raise tarfile.ReadError(f"the size of {entry.name!r} is negative")
        is_plain = entry.isfile() or entry.isdir()
        members.append(_Member(PurePosixPath(entry.name), entry.size, entry.isdir(), is_plain))
    # Python takes a header that it cannot read, and the end of the file, for the end of the archive.
    _check_end(cast("BinaryIO", archive.fileobj), archive.offset, len(members))
    return members


def _check_end(file: BinaryIO, end: int, members: int) -> None:
    """Check that nothing but zeros, enough and not too many, follows the last member that was found."""
    file.seek(end)
    zeros = 0
    while chunk := file.read(_CHUNK):
        if chunk.count(0) < len(chunk):
            raise tarfile.ReadError(f"after {members} members comes neither another one nor the end")
        zeros += len(chunk)
        if zeros > _END + _LONGEST_PADDING:
            raise tarfile.ReadError(f"after {members} members come so many zeros as if others never arrived")
    if zeros < _END:
        raise tarfile.ReadError(f"it ends without an end mark, after {members} members")
