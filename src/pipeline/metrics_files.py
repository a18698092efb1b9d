"""Reading the files of metrics, which git merges as it does any text."""

from pathlib import Path

import orjson

from similarity.errors import UserError
from similarity.layout import METRICS


def read_metrics() -> dict[str, dict]:
    """Reads all metrics files, by their names.

    Raises:
        UserError: one is no JSON, as after a merge with conflicts.
    """
    return {path.stem: read_metrics_file(path) for path in sorted(METRICS.glob("*.json"))}


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
