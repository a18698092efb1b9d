"""Read and check parameters, and files that runs have made, in the workspace or in other commits."""

from pipeline.stage import track

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import yaml
from pydantic import BaseModel, ValidationError

from similarity.data.dataset.manifest import Manifest
from similarity.data.vectors import row_blocks
from similarity.errors import DataError, UserError, one_line
from similarity.layout import EDITS, MANIFEST, METRICS
from similarity.params import Params

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

    from similarity.data.content_cache import ContentCache


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check every parameter; raise a `UserError` that names all that are unknown, missing or not allowed."""
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except FileNotFoundError as error:
        raise UserError(f"there is no {path} here: run from the root of the repository") from error
    except ValidationError as error:
        raise UserError("; ".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from error


def _explain(problem: Any) -> str:
    """Name a parameter with dots, its value, and what is allowed."""
    name, value = ".".join(str(part) for part in problem["loc"]), problem["input"]
    if problem["type"] == "missing":
        return f"{name} is missing"
    if problem["type"] == "extra_forbidden":
        sections = Params.model_fields.items()
        known = [f"{section}.{key}" for section, field in sections for key in field.annotation.model_fields]  # type: ignore[union-attr]
        near = difflib.get_close_matches(name, known, n=1)
        return f"{name} is unknown" + (f"; did you mean {near[0]}?" if near else "; remove it")
    message = problem["msg"].removeprefix("Value error, ")
    place = [name] * bool(name) + [repr(value)] * (not isinstance(value, dict | BaseModel))
    return ": ".join([*place, message[0].lower() + message[1:]])


def load_rows(path: Path, manifest: Manifest | None = None, width: int | None = None) -> np.ndarray:
    """Map a ``.npy`` file, (n, …), which has a row per image of the manifest, and rows of a width, if these are given.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is damaged, or has another number of images, or rows of another width.
    """
    try:
        rows = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`") from error
    if manifest and len(rows) != len(manifest.records):
        raise UserError(f"{path} has {len(rows)} images but {MANIFEST} has {len(manifest.records)}: run `dvc repro`")
    if width not in {None, rows.shape[-1]}:
        raise UserError(f"{path} has rows of {rows.shape[-1]} numbers, where {width} are expected: run `dvc repro`")
    return rows


def load_edits(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Load the features of edited test images: the rows of the originals, int64 (n,), and the features, (n, width)."""
    rows, edited = load_rows(EDITS / "rows.npy"), load_rows(EDITS / "features.npy", width=width)
    return np.repeat(rows, edited.shape[1]), np.concatenate(edited)


def check_finite(array: np.ndarray, manifest: Manifest, advice: str) -> None:
    """Raise a `DataError` with some advice that names the images whose rows, of (n, …), have numbers not finite."""
    finite = np.concatenate([np.isfinite(block).reshape(len(block), -1).all(axis=1) for block in row_blocks(array)])
    if not finite.all():
        keys = (manifest.keys[row] for row in np.flatnonzero(~finite).tolist())
        raise DataError([f"{key} has numbers that are not finite" for key in keys], advice)


@contextmanager
def user_cache(name: str, namespace: str) -> "Iterator[ContentCache]":
    """Open one of the user's caches for what is computed of images; warn at the end if it could not be used."""
    from platformdirs import user_cache_path

    from similarity.data.content_cache import ContentCache, cache_limit_gb

    folder, limit = user_cache_path("image-similarity") / name, cache_limit_gb()
    with closing(ContentCache(folder, namespace, limit)) as cache:
        yield cache
    if limit and cache.problem:
        print(f"warning: {folder} is not used: {cache.problem}", file=sys.stderr)


def read_metrics(folder: Path = METRICS) -> dict[str, dict]:
    """Read all metrics files of a folder, by name; raise a `UserError` if one is no JSON, as after a merge conflict."""
    metrics = {}
    try:
        for path in sorted(folder.glob("*.json")):
            metrics[path.stem] = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON ({error}): run `git checkout HEAD -- {path}`, or `dvc repro`") from error
    return metrics


def check_dvc_files() -> None:
    """Raise a `UserError` with the command that repairs it if one of DVC's own files is cut off."""
    for name, end, repair in (("dvc.lock", b"\n", "git checkout HEAD --"), (".dvc/tmp/rwlock", b"}", "rm")):
        if Path(name).exists() and not Path(name).read_bytes().endswith(end):
            raise UserError(f"{name} is cut off, as by a run that was killed: run `{repair} {name}`")


def list_unknown(folder: Path, files: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """List the files of an output folder that DVC could not bring back: neither dvc.lock nor its cache has them."""
    if not files:
        return []
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # takes a second
    from dvc_data.hashfile.hash import file_md5

    repo, recorded = Repo(), set[str]()
    with suppress(DvcException):
        recorded = {"/".join(key) for key, *_ in repo.find_outs_by_path(str(folder))[0].get_obj() or ()}
    others = (path for path in files if str(path) not in recorded)
    return [path for path in others if not repo.cache.local.exists(file_md5(str(folder / path)))]


def read_file(path: Path, revision: str) -> str:
    """Read a text file of a revision; ``workspace`` is the file that is there now.

    A revision that does not exist, or a file neither in the cache nor in a remote, raises a `UserError`.
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
        trust = f"run `git config --global --add safe.directory {Path.cwd()}`"  # where it is somebody else's
        advice = trust if isinstance(error, GitError) else "see `dvc exp list --all`"
        raise UserError(f"cannot read {path} of {revision!r} ({one_line(error)}): {advice}") from error


@cache
def _opened(revision: str) -> "DVCFileSystem":
    from dvc.api import DVCFileSystem

    return DVCFileSystem(".", rev=revision)
