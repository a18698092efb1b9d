"""DVC's own files and settings, and the files of other commits and experiments."""

from pipeline.stage import track

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import orjson

from similarity.engine.dvc_lock import DvcLock, md5s
from similarity.errors import UserError

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

_LOCK, _RUNNING = Path("dvc.lock"), Path(".dvc/tmp/rwlock")


def check_dvc_files() -> None:
    """Raise a `UserError` with the command that repairs it if one of DVC's own files is cut off."""
    for path, end, repair in ((_LOCK, b"\n", "git checkout HEAD --"), (_RUNNING, b"}", "rm")):
        if path.exists() and not path.read_bytes().endswith(end):
            raise UserError(f"{path} is cut off, as by a run that was killed: run `{repair} {path}`")


def list_unknown(folder: Path, files: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """List the files of an output folder that DVC could not bring back: neither dvc.lock nor its cache has them."""
    if not files:
        return []
    from dvc.repo import Repo  # takes a second

    cache, recorded = Repo().cache.local, set[str]()
    with suppress(UserError, FileNotFoundError):  # as before the first run, or in a clone
        listing = Path(cache.oid_to_path(DvcLock(Path()).md5(folder)))
        recorded = {entry["relpath"] for entry in orjson.loads(listing.read_bytes())}
    others = [path for path in files if str(path) not in recorded]
    digests = md5s([folder / path for path in others])
    return [path for path, md5 in zip(others, digests, strict=True) if not Path(cache.oid_to_path(md5)).exists()]


def read_file(path: Path, revision: str) -> str:
    """Read a text file of a revision; ``workspace`` is the file that is there now.

    Raises:
        UserError: there is no such revision, or the file is neither in the cache nor in a remote.
    """
    if revision == "workspace":
        return path.read_text(encoding="utf-8")
    with _files_of(revision, path) as files:
        return files.read_text(str(path), encoding="utf-8")


def copy_files(revision: str, paths: Sequence[Path], folder: Path) -> None:
    """Copy files and folders of a revision to the same paths in a folder; errors are those of `read_file`."""
    for path in track(paths, f"copy {revision}", unit=" files"):
        with _files_of(revision, path) as files:
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            files.get(str(path), str(folder / path), recursive=files.isdir(str(path)))


@contextmanager
def _files_of(revision: str, path: Path) -> "Iterator[DVCFileSystem]":
    """Open the files of a revision; DVC's errors become a `UserError` that names one of them."""
    from dvc.exceptions import DvcException
    from pygit2 import GitError
    from scmrepo.exceptions import SCMError

    try:
        yield _opened(revision)
    except (DvcException, GitError, SCMError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        trust = f"run `git config --global --add safe.directory {Path.cwd()}`"  # where it is somebody else's
        advice = trust if isinstance(error, GitError) else "see `dvc exp list --all`"
        raise UserError(f"cannot read {path} of {revision!r} ({reason}): {advice}") from error


@cache
def _opened(revision: str) -> "DVCFileSystem":
    from dvc.api import DVCFileSystem

    return DVCFileSystem(".", rev=revision)
