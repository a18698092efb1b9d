"""DVC's own files and settings, and the files of other commits and experiments."""

from pipeline.stage import track

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from similarity.errors import UserError

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

_LOCK, _RUNNING = Path("dvc.lock"), Path(".dvc/tmp/rwlock")


def check_dvc_files() -> None:
    """Raise a `UserError` with the command that repairs it if one of DVC's own files is cut off."""
    for path, end, repair in ((_LOCK, b"\n", "git checkout HEAD --"), (_RUNNING, b"}", "rm")):
        if path.exists() and not path.read_bytes().endswith(end):
            raise UserError(f"{path} is cut off, as by a run that was killed: run `{repair} {path}`")


def cache_types() -> list[str]:
    """Return how DVC is set to link files to its cache, the first choice first; empty where nothing is set.

    DVC itself is asked: the setting may stand in the project, or be the user's or the system's.

    Raises:
        UserError: DVC does not answer.
    """
    command = [sys.executable, "-m", "dvc", "config", "--list"]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if answer.returncode:
        raise UserError(f"`dvc config --list` fails: {' '.join(answer.stderr.split())}")
    settings = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    return [name.strip() for name in settings.get("cache.type", "").split(",") if name.strip()]


def read_file(path: Path, revision: str) -> str:
    """Read a text file of a revision; ``workspace`` is the file that is there now.

    Raises:
        UserError: there is no such revision, or the file is neither in the cache nor in a remote.
    """
    if revision == "workspace":
        return path.read_text(encoding="utf-8")
    with _files_of(revision, path) as files:
        return files.read_text(str(path), encoding="utf-8")


def read_files(paths: Sequence[Path], revision: str) -> dict[Path, str]:
    """Read those of some text files that a revision has, by their paths; errors are those of `read_file`."""
    with _files_of(revision, paths[0]) as files:
        return {path: files.read_text(str(path), encoding="utf-8") for path in paths if files.exists(str(path))}


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
    from scmrepo.exceptions import SCMError

    try:
        yield _opened(revision)
    except (DvcException, SCMError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot read {path} of {revision!r} ({reason}): see `dvc exp list --all`") from error


@cache
def _opened(revision: str) -> "DVCFileSystem":
    from dvc.api import DVCFileSystem

    return DVCFileSystem(".", rev=revision)
