"""The files that DVC itself keeps, which a kill at the wrong moment leaves cut off, and its settings."""

import subprocess
import sys
from pathlib import Path

import orjson
import yaml

from similarity.errors import UserError

_LOCK, _RUNNING = Path("dvc.lock"), Path(".dvc/tmp/rwlock")


def check_dvc_files() -> None:
    """Looks whether DVC can read its own files.

    Raises:
        UserError: it cannot; the message has the line that mends it.
    """
    if _LOCK.exists() and not _is_lock(_LOCK):
        raise UserError(f"{_LOCK} is damaged, as by a run that was killed: run `git checkout HEAD -- {_LOCK}`")
    if _RUNNING.exists() and not _is_json(_RUNNING):
        raise UserError(f"{_RUNNING} is damaged, as by a run that was killed: run `rm {_RUNNING}`")


def cache_types() -> list[str]:
    """How DVC is set to link files to its cache, the first choice first; empty where nothing is set.

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
