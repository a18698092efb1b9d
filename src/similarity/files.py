"""Writing files whole or not at all, and the formats that the stages share."""

import csv
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from similarity.errors import UserError

METRIC_DECIMALS = 6


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes the place of `path` only if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".new.{path.name}")  # keeps the suffixes: Keras goes by them
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a failed write does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder beside `path`, which takes the place of `path` only if the block succeeds.

    What a killed run has left behind is mended first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, outdated = (path.with_name(f".{state}.{path.name}") for state in ("new", "old"))
    _restore(path, temporary, outdated)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rename(outdated)
        temporary.rename(path)
    finally:
        _restore(path, temporary, outdated)


def _restore(path: Path, temporary: Path, outdated: Path) -> None:
    """Removes the temporary folders, after the old one is back in its place if there is no new one."""
    if outdated.exists() and not path.exists():
        outdated.rename(path)
    for leftover in (temporary, outdated):
        if leftover.exists():
            shutil.rmtree(leftover)


@contextmanager
def _open_replacement(path: Path) -> Iterator[BinaryIO]:
    with replaced_file(path) as temporary, temporary.open("wb") as file:
        yield file


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Writes nested finite numbers as JSON, rounded to 6 decimals, so that `dvc metrics diff` shows no noise.

    Raises:
        ValueError: a figure is not finite.
    """
    with _open_replacement(path) as file:
        file.write(orjson.dumps(_rounded(metrics), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise ValueError(f"a metric must be finite, not {value}")
        return round(float(value), METRIC_DECIMALS)
    return int(value)


def write_json_entries(path: Path, entries: Iterable[tuple[str, Any]]) -> None:
    """Writes one JSON object, an entry a line, without ever holding more than one entry in memory.

    NumPy arrays become lists, float32 in the fewest digits that give the same float32 again.
    """
    with _open_replacement(path) as file:
        separator = b"{\n"
        for key, value in entries:
            file.write(separator + orjson.dumps(key) + b":" + orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
            separator = b",\n"
        file.write(b"\n}\n" if separator == b",\n" else b"{}\n")


def write_array(path: Path, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
    """Writes an array as ``.npy``, from consecutive blocks of its rows.

    Args:
        path: where to.
        shape: of the whole array.
        blocks: float32 (n, *shape[1:]), whose n add up to shape[0].
    """
    # Written, not mapped into memory: a full disk then is an error that can be told, not a crash.
    with _open_replacement(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(np.ascontiguousarray(block, np.float32).data)


def write_scattered_array(path: Path, shape: tuple[int, ...], blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes an array as ``.npy``, from its rows in any order.

    Args:
        path: where to.
        shape: of the whole array.
        blocks: numbers of rows, int64 (n,), and these rows, float32 (n, *shape[1:]); each row in one block.
    """
    with _open_replacement(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        start, size = file.tell(), 4 * math.prod(shape[1:])
        for rows, values in blocks:
            for row, value in zip(rows.tolist(), np.ascontiguousarray(values, np.float32), strict=True):
                file.seek(start + row * size)
                file.write(value.data)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file with Unix line ends, UTF-8."""
    with replaced_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_table(path: Path, header: Sequence[str]) -> Iterator[list[str]]:
    """Reads the rows of a CSV file below its header.

    Raises:
        UserError: the file has another header, or a row another number of columns.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != list(header):
            raise UserError(f"{path} does not begin with the columns {', '.join(header)}: run `dvc repro`")
        for row in rows:
            if len(row) != len(header):
                raise UserError(f"{path}, line {rows.line_num}: {len(header)} columns are needed: run `dvc repro`")
            yield row
