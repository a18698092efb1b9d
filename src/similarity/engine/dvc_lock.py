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
        locked = _read_stages(root / "dvc.lock")
        defined = _read_stages(root / "dvc.yaml") if (root / "dvc.yaml").exists() else locked
        self._frozen = {name for name, stage in defined.items() if stage.get("frozen")}
        self._stages = {name: stage for name, stage in locked.items() if name in defined}  # DVC keeps removed ones
        self._outs: dict[str, tuple[str, str]] = {  # the stage that made each output, and its MD5, by path
            out["path"]: (name, out["md5"])
            for name, stage in self._stages.items()
            for out in stage.get("outs", ())
            if "md5" in out  # a folder in a version-aware remote has a list of files instead
        }

    def md5(self, path: Path) -> str:
        """Return the recorded MD5 of an output, a file or a folder."""
        return self._made(path)[1]

    def check(self, *paths: Path) -> None:
        """Check that outputs are what their stages made, from the outputs of other stages that are now in place.

        A missing one raises a `FileNotFoundError`, and one that is damaged or from another run a `UserError`.
        """
        for path, found in zip(paths, md5s([self._root / path for path in paths]), strict=True):
            stage, recorded = self._made(path)
            if found != recorded:
                problem = f"{self._root / path} is not what stage {stage} made, by dvc.lock"
                raise UserError(
                    f"{problem}: it is damaged or from another run: run `dvc checkout`, or else `dvc repro`"
                )
        self._check_stages({self._made(path)[0] for path in paths})

    def is_current(self, path: Path) -> bool:
        """Whether an output was made from the outputs that are recorded now: an audit may be of an earlier run."""
        try:
            self._check_stages({self._made(path)[0]})
        except UserError:
            return False
        return True

    def _made(self, path: Path) -> tuple[str, str]:
        if path.as_posix() not in self._outs:
            raise UserError(f"{self._root / 'dvc.lock'} has no record of {path}: run `dvc repro`")
        return self._outs[path.as_posix()]

    def _check_stages(self, waiting: set[str]) -> None:
        """Check that some stages, and all before them, used the outputs that are recorded now."""
        seen = set[str]()
        while waiting:
            stage = min(waiting)  # so that the same one is named each time
            seen.add(stage)
            for used in self._stages[stage].get("deps", ()):
                around = (Path(used["path"]), *Path(used["path"]).parents)  # an output may be a folder
                output = next((each.as_posix() for each in around if each.as_posix() in self._outs), None)
                if output is None:
                    continue
                maker, md5 = self._outs[output]
                waiting.add(maker)
                if output == used["path"] and md5 != used.get("md5") and stage not in self._frozen:
                    raise UserError(
                        f"{self._root / 'dvc.lock'}: stage {stage} ran before stage {maker} made another {output}, so "
                        "their files do not fit: a run has not finished: run `dvc repro`"
                    )
            waiting -= seen


def md5s(paths: Sequence[Path]) -> list[str]:
    """Compute the MD5 of files, and of folders as DVC does, which ends in ``.dir``.

    A file is read again only if its size, inode or times have changed since the last call, in whatever process.
    """
    files = {path: sorted(each for each in path.rglob("*") if each.is_file()) for path in paths if path.is_dir()}
    digests = _file_md5s([file for path in paths for file in files.get(path, [path])])
    for folder, inside in files.items():
        listed = sorted((file.relative_to(folder).as_posix(), digests[file]) for file in inside)
        content = json.dumps([{"md5": md5, "relpath": name} for name, md5 in listed])
        digests[folder] = f"{hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()}.dir"
    return [digests[path] for path in paths]


def _file_md5s(files: Sequence[Path]) -> dict[Path, str]:
    from platformdirs import user_cache_path

    memory, remembered = user_cache_path("image-similarity") / "md5.json", dict[str, str]()
    with suppress(OSError, ValueError, TypeError):
        remembered = dict(orjson.loads(memory.read_bytes()))
    digests, is_new = dict[Path, str](), False
    for file in files:
        status, path = file.stat(), os.path.abspath(file)  # noqa: PTH100  # links stay
        state = f"{path} {status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"
        digests[file] = remembered.get(state) or _md5_of_file(file)
        if state not in remembered and max(status.st_mtime_ns, status.st_ctime_ns) < time.time_ns() - _RECENT_NS:
            remembered[state], is_new = digests[file], True
    if is_new and memory.is_absolute():  # otherwise there is no home
        from similarity.data.files import replaced_file

        with suppress(OSError), replaced_file(memory) as temporary:  # nothing depends on it
            temporary.write_bytes(orjson.dumps(dict([*remembered.items()][-_MOST_REMEMBERED:])))
    return digests


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
