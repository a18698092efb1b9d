"""Reading the files of metrics, which git merges as it does any text."""

from pathlib import Path

import orjson

from similarity.errors import UserError
from similarity.layout import METRICS


def read_metrics(folder: Path = METRICS) -> dict[str, dict]:
    """Read all metrics files of a folder, by name.

    Raises:
        UserError: one is no JSON, as after a merge with conflicts.
    """
    return {path.stem: read_metrics_file(path) for path in sorted(folder.glob("*.json"))}


def read_metrics_file(path: Path) -> dict:
    """Reads a metrics file.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it is no JSON, as after a merge with conflicts.
    """
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON ({error}): run `git checkout HEAD -- {path}`, or `dvc repro`") from error
