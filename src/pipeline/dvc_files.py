"""DVC's own files and settings, and the files of other commits and experiments."""

from pipeline.stage import track

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import yaml

from similarity.errors import UserError

_LOCK, _RUNNING = Path("dvc.lock"), Path(".dvc/tmp/rwlock")


def check_dvc_files() -> None:
    """Check that DVC can read its own files.

    Raises:
        UserError: it cannot; the message has the command that repairs it.
    """
    if _LOCK.exists() and not _is_lock(_LOCK):
        raise UserError(f"{_LOCK} is damaged, as by a run that was killed: run `git checkout HEAD -- {_LOCK}`")
    if _RUNNING.exists() and not _is_json(_RUNNING):
        raise UserError(f"{_RUNNING} is damaged, as by a run that was killed: run `rm {_RUNNING}`")


def _is_lock(path: Path) -> bool:
    """Whether DVC would take a file as its lock, and it is not cut off: DVC ends it with a line break."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # takes a tenth of a second
    from voluptuous import Invalid

    content = path.read_bytes()
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(content, yaml.CSafeLoader))  # it is a safe loader
    except (yaml.YAMLError, Invalid):
        return False
    return content.endswith(b"\n")


def _is_json(path: Path) -> bool:
    try:
        return isinstance(orjson.loads(path.read_bytes()), dict)
    except orjson.JSONDecodeError:
        return False


def read_file(path: Path, revision: str) -> str:
    """Read a text file of a revision; ``workspace`` is the file that is there now.

    Raises:
        UserError: there is no such revision, or the file is neither in the cache nor in a remote.
    """
    if revision == "workspace":
        return path.read_text(encoding="utf-8")
    import dvc.api

    with _reading(path, revision):
        return dvc.api.read(str(path), rev=revision, encoding="utf-8")


def copy_files(revision: str, paths: Sequence[Path], folder: Path) -> None:
    """Copy files and folders of a revision into a folder, where they have the same paths.

    Raises:
        UserError: there is no such revision, or a file is neither in the cache nor in a remote.
    """
    from dvc.api import DVCFileSystem

    with _reading(paths[0], revision):
        repository = DVCFileSystem(".", rev=revision)
    for path in track(paths, f"copy {revision}", unit=" files"):
        with _reading(path, revision):
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            repository.get(str(path), str(folder / path), recursive=repository.isdir(str(path)))


@contextmanager
def _reading(path: Path, revision: str) -> Iterator[None]:
    """Turn DVC's errors about a file of a revision into a `UserError`."""
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        yield
    except (DvcException, SCMError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot read {path} of {revision!r} ({reason}): see `dvc exp list --all`") from error
