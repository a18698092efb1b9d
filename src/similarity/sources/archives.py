"""Reading .zip and .tar.* files that nobody has to trust."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol, cast

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
_ZIP_END = 22 + (1 << 16) + 20 + 56  # bytes, of a .zip's two records at its end and a comment between
_UINT16 = 0xFFFF
_UTF8 = 0x800  # flag of a .zip's member whose name is in UTF-8
_UNIX = 3  # the system that made a .zip's member
_UNIX_TYPE = 0o170000
_UNIX_PLAIN = {0, 0o040000, 0o100000}  # not told, a folder, or a file


class DamagedArchiveError(UserError):
    """The archive is cut off, damaged, or none: another copy of it may be whole."""


class Member(NamedTuple):
    """One file or folder in an archive; `size` is the unpacked size in bytes."""

    path: PurePosixPath
    is_folder: bool
    size: int


class Archive(Protocol):
    """What a .zip and a .tar have in common."""

    def members(self) -> list[Member]:
        """Lists the content.

        Raises:
            UserError: a member lies outside the archive, is a link or a device, or is listed twice; or members are
                missing, as where the archive is cut off.
        """

    def contents(self) -> Iterator[tuple[PurePosixPath, BinaryIO]]:
        """Opens each file in turn, in the order that reads fastest."""


def is_archive(path: Path) -> bool:
    """Tells by its content whether a file is a .zip, or a .tar with or without compression."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _DAMAGE:
        return False


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens an archive for reading.

    Raises:
        DamagedArchiveError: at any time within the block, if the archive turns out to be damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                yield _Zip(path, file)
        else:
            with tarfile.open(path) as tar:
                yield _Tar(path, tar)
    except _DAMAGE as error:
        raise _broken(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _broken(path, error) from error  # the decompressors' own errors come without a number


@contextmanager
def open_shards(paths: Sequence[Path]) -> Iterator["Shards"]:
    """Opens several archives as one; see `open_archive`."""
    with ExitStack() as stack:
        yield Shards([(path, stack.enter_context(open_archive(path))) for path in paths])


class Shards:
    """Archives whose members are taken for those of one.

    Attributes:
        parts: the archives, by their paths.
    """

    def __init__(self, parts: list[tuple[Path, Archive]]) -> None:
        self.parts = parts

    def members(self) -> list[Member]:
        """Lists the content of all; see `Archive`."""
        found, owner = list[Member](), dict[PurePosixPath, Path]()
        for path, archive in self.parts:
            for member in archive.members():
                if not member.is_folder and (other := owner.setdefault(member.path, path)) != path:
                    raise UserError(f"{str(member.path)!r} is in {other} and in {path}: rename one")
                found.append(member)
        return found

    def contents(self) -> Iterator[tuple[PurePosixPath, BinaryIO]]:
        """Opens each file in turn."""
        for _, archive in self.parts:
            yield from archive.contents()


def _broken(path: Path, error: Exception) -> DamagedArchiveError:
    reason = " ".join(str(error).split())
    return DamagedArchiveError(f"{path} is cut off, damaged, or no archive ({reason}): get it again")


class _Zip:
    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path = path
        self._file = file

    def members(self) -> list[Member]:
        entries = self._file.infolist()
        _check_count(self._path, len(entries))
        for entry in entries:
            if entry.external_attr >> 16 & _UNIX_TYPE not in _UNIX_PLAIN:
                raise _hostile(self._path, entry.filename, "is a link or a device")
            if "\0" in entry.orig_filename or entry.header_offset < 0 or (entry.is_dir() and entry.file_size):
                raise zipfile.BadZipFile(f"the entry of {entry.orig_filename!r} is wrong")
        return _checked(self._path, [Member(_zip_path(e), e.is_dir(), e.file_size) for e in entries])

    def contents(self) -> Iterator[tuple[PurePosixPath, BinaryIO]]:
        for entry in self._file.infolist():
            if not entry.is_dir():
                with self._file.open(entry) as content:
                    yield _zip_path(entry), content  # type: ignore[misc]  # IO[bytes] is one


def _zip_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    """The path as it would be in a folder: those of Unix and macOS are bytes, and only others' have backslashes."""
    if entry.create_system != _UNIX:
        return PurePosixPath(entry.filename.replace("\\", "/"))
    if entry.flag_bits & _UTF8:
        return PurePosixPath(entry.filename)
    try:
        return PurePosixPath(entry.filename.encode("cp437").decode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # Python 3.13 finds a name in UTF-8 elsewhere
        return PurePosixPath(entry.filename)


def _check_count(path: Path, members: int) -> None:
    """Checks that a .zip lists as many members as it says at its end: a wrong length in the list can hide some."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END))
        tail = file.read()
    end, large_end = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    if count == _UINT16 and large_end >= 0:
        count = int.from_bytes(tail[large_end + 32 : large_end + 40], "little")
    if (count - members) & _UINT16:  # some writers know no larger numbers
        raise zipfile.BadZipFile(f"{members} of {count} members are listed")


class _Tar:
    def __init__(self, path: Path, file: tarfile.TarFile) -> None:
        self._path = path
        self._file = file

    def members(self) -> list[Member]:
        entries = self._entries()
        for entry in entries:
            if not (entry.isfile() or entry.isdir()):
                raise _hostile(self._path, entry.name, "is a link or a device")
        return _checked(self._path, [Member(PurePosixPath(e.name), e.isdir(), e.size) for e in entries])

    def contents(self) -> Iterator[tuple[PurePosixPath, BinaryIO]]:
        for entry in self._file.getmembers():
            content = self._file.extractfile(entry)
            if content is not None:
                with content:
                    yield PurePosixPath(entry.name), content  # type: ignore[misc]  # IO[bytes] is one

    def _entries(self) -> list[tarfile.TarInfo]:
        """Reads all headers, and to the very end, where a compressed archive has its checksum."""
        entries = []
        for entry in self._file:
            if entry.size < 0:  # would lead back to where it stands, for ever
                raise tarfile.ReadError(f"the size of {entry.name!r} is negative")
            entries.append(entry)
        # Python takes a header that it cannot read, and the end of the file, for the end of the archive.
        _check_end(cast("BinaryIO", self._file.fileobj), self._file.offset, len(entries))
        return entries


def _check_end(file: BinaryIO, end: int, members: int) -> None:
    """Checks that nothing but zeros, enough and not too many, comes after the last member that was found."""
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


def _checked(archive: Path, members: list[Member]) -> list[Member]:
    seen: set[PurePosixPath] = set()
    for member in members:
        if member.path.is_absolute() or ".." in member.path.parts:
            raise _hostile(archive, str(member.path), "points outside of the archive")
        if not member.is_folder and member.path in seen:
            raise _hostile(archive, str(member.path), "is listed twice")
        seen.add(member.path)
    return members


def _hostile(archive: Path, name: str, fault: str) -> UserError:
    return UserError(f"{archive}: the member {name!r} {fault}: refused, nothing was unpacked")
