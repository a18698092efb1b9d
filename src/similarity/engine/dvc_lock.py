"""Which files belong together, by dvc.lock. No other module of the library knows DVC's formats."""

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from similarity.errors import UserError
from similarity.files import replaced_file

_BLOCK = 1 << 20
_MOST_REMEMBERED = 2000  # digests
_RECENT_NS = 2_000_000_000  # a file changed so recently may change again within the resolution of its time


class _Stage(NamedTuple):
    """The MD5 of each dependency and output of a stage when it last ran, by path."""

    deps: dict[str, str]
    outs: dict[str, str]
    is_frozen: bool


class DvcLock:
    """What dvc.lock records about the last run of each stage, as it was when this was made."""

    def __init__(self, root: Path) -> None:
        """Read dvc.lock, and dvc.yaml if there is one, in the folder of a project.

        Raises:
            FileNotFoundError: there is no dvc.lock.
            UserError: one of them is damaged.
        """
        self._root = root
        locked = _read_stages(root / "dvc.lock")
        defined = _read_stages(root / "dvc.yaml") if (root / "dvc.yaml").exists() else locked
        try:
            self._stages = {
                name: _Stage(
                    _md5s_by_path(stage.get("deps", ())),
                    _md5s_by_path(stage.get("outs", ())),
                    bool(defined[name].get("frozen")),
                )
                for name, stage in locked.items()
                if name in defined  # DVC keeps the entries of stages that were removed
            }
        except (TypeError, KeyError, AttributeError) as error:
            raise _damaged(root / "dvc.lock") from error
        self._makers = {path: name for name, stage in self._stages.items() for path in stage.outs}

    def md5(self, path: Path) -> str:
        """Return the MD5 of an output, file or folder, as it is recorded.

        Raises:
            UserError: there is no record of it.
        """
        maker = self._makers.get(path.as_posix())
        if maker is None:
            raise UserError(f"{self._root / 'dvc.lock'} has no record of {path}: run `dvc repro`")
        return self._stages[maker].outs[path.as_posix()]

    def check(self, *paths: Path) -> None:
        """Check that files and folders are those that their stages made, from what is now in place.

        Args:
            paths: of outputs, below the root.

        Raises:
            FileNotFoundError: one is missing.
            UserError: one is damaged or from another run, or a run has not finished.
        """
        for path in paths:
            if not (self._root / path).exists():
                raise FileNotFoundError(errno.ENOENT, "missing", str(self._root / path))
        for path, found in zip(paths, md5s([self._root / path for path in paths]), strict=True):
            if found != self.md5(path):
                raise UserError(
                    f"{self._root / path} is not what stage {self._makers[path.as_posix()]} made, by dvc.lock: it is "
                    "damaged or from another run: run `dvc checkout`, or else `dvc repro`"
                )
        self._check_stages({self._makers[path.as_posix()] for path in paths})

    def _check_stages(self, names: Iterable[str]) -> None:
        """Check that some stages, and all before them, ran with the outputs that are now recorded."""
        waiting, seen = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            stage = self._stages[name]
            for path, used in stage.deps.items():
                maker = self._maker_of(path)
                if maker is None:
                    continue
                waiting.append(maker)
                if not stage.is_frozen and self._stages[maker].outs.get(path, used) != used:
                    raise UserError(
                        f"{self._root / 'dvc.lock'}: stage {name} ran before {path} was made anew by stage {maker}, so "
                        "that their files do not fit: a run has not finished: run `dvc repro`"
                    )

    def _maker_of(self, path: str) -> str | None:
        """Return the stage whose output a path is, or lies in."""
        candidates = (path, *(parent.as_posix() for parent in Path(path).parents))
        return next((self._makers[each] for each in candidates if each in self._makers), None)


def md5s(paths: Sequence[Path]) -> list[str]:
    """Compute the MD5 of files, and of folders as DVC does, which ends in ``.dir``.

    A file is read again only if its size, inode or times have changed since the last call, in whatever process.
    """
    files = {path: sorted(each for each in path.rglob("*") if each.is_file()) for path in paths if path.is_dir()}
    found = _file_md5s([file for path in paths for file in files.get(path, [path])])
    return [_folder_md5(path, files[path], found) if path in files else found[path] for path in paths]


def _folder_md5(folder: Path, files: Sequence[Path], found: dict[Path, str]) -> str:
    listed = [{"md5": found[file], "relpath": file.relative_to(folder).as_posix()} for file in files]
    listed.sort(key=lambda entry: entry["relpath"])
    return _md5_of(json.dumps(listed, sort_keys=True).encode()) + ".dir"


def _file_md5s(files: Sequence[Path]) -> dict[Path, str]:
    memory = _memory_file()
    remembered, states = _recall(memory), {file: _state(file) for file in files}
    known = {file: remembered[os.path.abspath(file)] for file in files if os.path.abspath(file) in remembered}  # noqa: PTH100  # links stay
    found = {file: entry[-1] for file, entry in known.items() if entry[:-1] == states[file]}
    if new := [file for file in files if file not in found]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor() as pool:
            found |= zip(new, pool.map(_md5_of_file, new), strict=True)
        before = time.time_ns() - _RECENT_NS
        entries = {os.path.abspath(file): [*states[file], found[file]] for file in new if states[file][1] < before}  # noqa: PTH100
        _remember(memory, remembered, entries)
    return found


def _state(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, max(status.st_mtime_ns, status.st_ctime_ns), status.st_mtime_ns, status.st_ino]


def _memory_file() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("image-similarity") / "md5.json"


def _recall(memory: Path) -> dict[str, list]:
    with suppress(OSError, orjson.JSONDecodeError):
        content = orjson.loads(memory.read_bytes())
        if isinstance(content, dict):
            return content
    return {}


def _remember(memory: Path, remembered: dict[str, list], entries: dict[str, list]) -> None:
    kept = {path: entry for path, entry in remembered.items() if path not in entries} | entries
    latest = dict(list(kept.items())[-_MOST_REMEMBERED:])
    with suppress(OSError), replaced_file(memory) as temporary:  # nothing depends on it
        temporary.write_bytes(orjson.dumps(latest))


def _md5_of_file(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_stages(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return dict(yaml.load(path.read_bytes(), yaml.CSafeLoader)["stages"])  # it is a safe loader
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise _damaged(path) from error


def _md5s_by_path(entries: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: run `git checkout HEAD -- {path.name}`")
