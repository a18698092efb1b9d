"""Which files belong together, by dvc.lock. No other module of the library knows DVC's formats."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import yaml

from similarity.errors import UserError

_MOST_REMEMBERED = 2000  # digests
_RECENT_NS = 2_000_000_000  # a file changed so recently may change again within the resolution of its time


class DvcLock:
    """What dvc.lock recorded about the last run of each stage, when this was made."""

    def __init__(self, root: Path) -> None:
        """Read dvc.lock, and dvc.yaml if there is one, in the folder of a project."""
        self._root = root
        self._deps: dict[str, dict[str, str]] = {}  # the MD5 that each stage used, by stage and path
        self._outs: dict[str, tuple[str, str]] = {}  # the stage that made each output, and its MD5, by path
        locked = _read_stages(root / "dvc.lock")
        defined = _read_stages(root / "dvc.yaml") if (root / "dvc.yaml").exists() else locked
        self._frozen = {name for name, stage in defined.items() if stage.get("frozen")}
        for name in locked.keys() & defined.keys():  # DVC keeps the entries of stages that were removed
            used, made = (
                {each["path"]: each["md5"] for each in locked[name].get(kind, ()) if "md5" in each}
                for kind in ("deps", "outs")
            )
            self._deps[name] = used
            self._outs |= {path: (name, md5) for path, md5 in made.items()}

    def md5(self, path: Path) -> str:
        """Return the recorded MD5 of an output, a file or a folder."""
        if path.as_posix() not in self._outs:
            raise UserError(f"{self._root / 'dvc.lock'} has no record of {path}: run `dvc repro`")
        return self._outs[path.as_posix()][1]

    def check(self, *paths: Path) -> None:
        """Check that outputs are what their stages made, from the outputs of other stages that are now in place.

        Raises:
            FileNotFoundError: one is missing.
            UserError: one is damaged or from another run, or a run has not finished.
        """
        stages = set[str]()
        for path, found in zip(paths, md5s([self._root / path for path in paths]), strict=True):
            recorded, maker = self.md5(path), self._outs[path.as_posix()][0]
            if found != recorded:
                raise UserError(
                    f"{self._root / path} is not what stage {maker} made, by dvc.lock: it is damaged or from another "
                    "run: run `dvc checkout`, or else `dvc repro`"
                )
            stages.add(maker)
        self._check_stages(stages)

    def is_current(self, path: Path) -> bool:
        """Whether an output was made from the outputs that are recorded now: an audit may be of an earlier run."""
        try:
            self._check_stages({self._outs[path.as_posix()][0]})
        except (KeyError, UserError):
            return False
        return True

    def _check_stages(self, waiting: set[str]) -> None:
        """Check that some stages, and all before them, used the outputs that are recorded now."""
        seen = set[str]()
        while waiting:
            stage = min(waiting)  # so that the same one is named each time
            waiting.remove(stage)
            seen.add(stage)
            for path, used in self._deps[stage].items():
                around = (each.as_posix() for each in (Path(path), *Path(path).parents))  # an output may be a folder
                maker = next((self._outs[each][0] for each in around if each in self._outs), None)
                if maker is not None and maker not in seen:
                    waiting.add(maker)
                if stage not in self._frozen and self._outs.get(path, (maker, used))[1] != used:
                    raise UserError(
                        f"{self._root / 'dvc.lock'}: stage {stage} ran before stage {maker} made another {path}, so "
                        "their files do not fit: a run has not finished: run `dvc repro`"
                    )


def md5s(paths: Sequence[Path]) -> list[str]:
    """Compute the MD5 of files, and of folders as DVC does, which ends in ``.dir``.

    A file is read again only if its size, inode or times have changed since the last call, in whatever process.
    """
    files = {path: sorted(each for each in path.rglob("*") if each.is_file()) for path in paths if path.is_dir()}
    found, digests = _file_md5s([file for path in paths for file in files.get(path, [path])]), []
    for path in paths:
        if path in files:
            listed = sorted((file.relative_to(path).as_posix(), found[file]) for file in files[path])
            content = json.dumps([{"md5": md5, "relpath": name} for name, md5 in listed]).encode()
            digests.append(hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir")
        else:
            digests.append(found[path])
    return digests


def _file_md5s(files: Sequence[Path]) -> dict[Path, str]:
    from platformdirs import user_cache_path

    memory, remembered = user_cache_path("image-similarity") / "md5.json", dict[str, str]()
    with suppress(OSError, ValueError, TypeError):
        remembered = dict(orjson.loads(memory.read_bytes()))
    states = {file: _state(file) for file in files}
    found = {file: remembered[state] for file, (state, _) in states.items() if state in remembered}
    if new := [file for file in files if file not in found]:
        from similarity.data.files import replaced_file

        found |= {file: _md5_of_file(file) for file in new}
        settled = time.time_ns() - _RECENT_NS
        remembered |= {states[file][0]: found[file] for file in new if states[file][1] < settled}
        if memory.is_absolute():  # otherwise there is no home
            with suppress(OSError), replaced_file(memory) as temporary:  # nothing depends on it
                temporary.write_bytes(orjson.dumps(dict([*remembered.items()][-_MOST_REMEMBERED:])))
    return found


def _state(file: Path) -> tuple[str, int]:
    """Return what differs after a file has changed, and when that was, in nanoseconds."""
    status, path = file.stat(), os.path.abspath(file)  # noqa: PTH100  # links stay
    times = status.st_mtime_ns, status.st_ctime_ns
    return f"{path} {status.st_size} {status.st_ino} {times[0]} {times[1]}", max(times)


def _md5_of_file(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_stages(path: Path) -> dict[str, dict[str, Any]]:
    try:
        stages = yaml.load(path.read_bytes(), yaml.CSafeLoader)["stages"]  # it is a safe loader
        return {name: dict(stage) for name, stage in stages.items()}
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged: run `git checkout HEAD -- {path.name}`") from error
