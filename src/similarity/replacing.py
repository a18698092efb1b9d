"""Putting new versions of files and folders in the place of the old ones, all together, whatever comes in between.

Several files cannot be renamed in one step. So all renames are first written down in a journal, as databases do: when
that is on the disk, the new versions count, and whoever comes next carries out what a kill has left undone.
"""

import fcntl
import glob
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from similarity.errors import UserError

Identity = tuple[int, int] | None
"""What a file keeps when it is renamed, and loses when it is replaced: inode and time of change; None if it is not."""


class _Rename(NamedTuple):
    """A new version that waits to take its place.

    Attributes:
        temporary: where it is, in the same folder.
        path: its place.
        new: its identity.
        old: the identity of what is in its place.
    """

    temporary: Path
    path: Path
    new: Identity
    old: Identity

    @property
    def is_done(self) -> bool:
        return _identity(self.path) == self.new

    @property
    def is_possible(self) -> bool:
        """Whether nobody else has put anything in its place, or taken it away."""
        current = _identity(self.path) or _identity(_outdated(self.path))
        return _identity(self.temporary) == self.new and current == self.old


def replace_all(temporaries: Mapping[Path, Path], journal: Path | None = None) -> None:
    """Puts new versions in place, after all of them are on the disk; if that fails, they are removed.

    Args:
        temporaries: where the new versions are, in the folders of their places, by their places.
        journal: where the renames are written down meanwhile. Without one, they are together only if nothing kills the
            process and no rename fails.

    Raises:
        OSError: the old versions are all as they were; or, if the journal is there, `finish_replacing` must go on.
    """
    try:
        _flush_all(temporaries)
        with _signals_held():
            if journal is None:
                for path, temporary in temporaries.items():
                    _put(temporary, path)
                _flush_folders(temporaries)
            else:
                with _locked(journal):
                    _carry_out(journal)
                    _write_down(temporaries, journal)
                    _carry_out(journal)
    finally:
        if journal is None or not journal.exists():
            for path, temporary in temporaries.items():
                remove(temporary)
                if path.exists():
                    remove(_outdated(path))


def finish_replacing(journal: Path) -> None:
    """Carries out what a process that was killed has written down, unless others have put other files there since.

    If so, as when DVC has brought former versions back, what it had made is removed.

    Raises:
        UserError: the journal is damaged.
        OSError: a rename fails; the journal stays.
    """
    if journal.exists():
        with _signals_held(), _locked(journal):
            _carry_out(journal)


def remove_left_behind(folder: Path, name: str | None = None) -> None:
    """Removes what processes that were killed have left in a folder: new versions of a file, or of all.

    What is written down in a journal must have been finished before.
    """
    for left in folder.glob(f".new.*.{glob.escape(name) if name else '*'}"):
        if not _is_running(left.name.split(".")[2]):
            remove(left)


def restore_folder(path: Path) -> None:
    """Puts a folder back that a process had taken from its place when it was killed."""
    if _outdated(path).exists() and not path.exists():
        _outdated(path).rename(path)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _identity(path: Path) -> Identity:
    try:
        status = path.lstat()  # DVC may have made it a link
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _write_down(temporaries: Mapping[Path, Path], journal: Path) -> None:
    renames = [
        (str(temporary), str(path), _identity(temporary), _identity(path)) for path, temporary in temporaries.items()
    ]
    draft = journal.with_suffix(".draft")
    draft.write_bytes(orjson.dumps(renames))
    _flush_all({journal: draft})
    draft.rename(journal)  # from here on, the new versions count
    _flush_folders([journal])


def _read(journal: Path) -> list[_Rename]:
    try:
        listed = orjson.loads(journal.read_bytes())
        return [
            _Rename(Path(temporary), Path(path), tuple(new), None if old is None else tuple(old))
            for temporary, path, new, old in listed
        ]
    except (ValueError, TypeError) as error:
        raise UserError(f"{journal} is damaged: run `rm {journal}`, then `dvc repro`") from error


def _carry_out(journal: Path) -> None:
    if not journal.exists():
        return
    renames = _read(journal)
    if all(rename.is_done or rename.is_possible for rename in renames):
        for rename in renames:
            if not rename.is_done:
                _put(rename.temporary, rename.path)
        _flush_folders([rename.path for rename in renames])
    for rename in renames:
        restore_folder(rename.path)
        remove(_outdated(rename.path))
        remove(rename.temporary)
    journal.unlink()


def _put(temporary: Path, path: Path) -> None:
    if temporary.is_dir() or path.is_dir():  # a folder cannot be replaced in one step
        _exchange(temporary, path)
    else:
        temporary.rename(path)


def _exchange(temporary: Path, path: Path) -> None:
    """Puts a new version in the place of a folder, which goes back if that fails."""
    if path.exists():
        remove(_outdated(path))
        path.rename(_outdated(path))
    try:
        temporary.rename(path)
    except BaseException:
        restore_folder(path)
        raise


def _outdated(path: Path) -> Path:
    """Where the old version of a folder is kept until the new one is in its place."""
    return path.with_name(f".old.{path.name}")


def _is_running(process: str) -> bool:
    if not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _flush_all(temporaries: Mapping[Path, Path]) -> None:
    """Waits until new files and folders are on the disk, and that they are in their folders as well."""
    for temporary in temporaries.values():
        if temporary.is_dir():
            os.sync()  # one call for what may be many small files
        else:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
    _flush_folders(temporaries)


def _flush_folders(paths: Iterable[Path]) -> None:
    for folder in {path.parent for path in paths}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(journal: Path) -> Iterator[None]:
    """Waits until no other process writes or carries out the journal; a process that ends in any way lets go."""
    with journal.with_suffix(".lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _signals_held() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM wait until the block is done.

    The handlers are exchanged instead of blocking the signals: a mask holds for one thread, so another one, of
    TensorFlow or OpenMP, would receive the signal, and Python would interrupt the main thread all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # the only one that Python interrupts
        yield
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heeded = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for held in heeded:
        signal.signal(held, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for held, handler in heeded.items():
            signal.signal(held, handler)
        if received:
            signal.raise_signal(received[0])
