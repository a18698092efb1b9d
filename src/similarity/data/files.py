"""Write complete files only, and the formats that the stages share."""

import csv
import math
import mmap
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
import orjson
from numpy.typing import ArrayLike, DTypeLike

from similarity.errors import UserError

_METRIC_DECIMALS = 6
_TEMPORARY = ".new."


class Outputs:
    """New versions of files and folders, written under temporary names and renamed when all of them are complete.

    Used as a context manager: if the block raises, the temporary files are removed and the old versions stay.
    """

    def __init__(self) -> None:
        self._temporaries: dict[Path, Path] = {}

    def file(self, path: Path) -> Path:
        """Return the temporary path, in the same folder and with the same suffixes, of a file's new version."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_TEMPORARY}{path.name}")
        _remove(temporary)
        self._temporaries[path] = temporary
        return temporary

    def folder(self, path: Path) -> Path:
        """Return an empty temporary folder for the new version of a folder."""
        temporary = self.file(path)
        temporary.mkdir()
        return temporary

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            for path, temporary in self._temporaries.items():
                if path.is_dir():  # which a rename does not replace
                    _remove(path)
                temporary.replace(path)
            return
        for temporary in self._temporaries.values():
            _remove(temporary)
        if isinstance(error, OSError) and error.errno is not None and self._temporaries:
            # A failed write names no file, or the temporary one; the user knows the other.
            error.filename = str(error.filename or list(self._temporaries)[-1]).replace(_TEMPORARY, "")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder that nothing else writes to."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        _remove(path)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` only if the block ends without an error."""
    with Outputs() as outputs:
        yield outputs.file(path)


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write nested finite numbers as JSON, rounded to 6 decimals, so that `dvc metrics diff` shows no noise.

    Raises:
        ValueError: a figure is not finite, or no number.
    """
    path.write_bytes(orjson.dumps(_rounded(metrics), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating) and math.isfinite(value):
        return round(float(value), _METRIC_DECIMALS)
    raise ValueError(f"a metric must be a finite number, not {value}")


def write_json_entries(path: Path, entries: Iterable[tuple[str, Any]]) -> None:
    """Write one JSON object, one entry per line, holding one entry at a time in memory.

    NumPy arrays become lists, float32 in the fewest digits that give the same float32 again.
    """
    with path.open("wb") as file:
        separator = b"{\n"
        for key, value in entries:
            file.write(separator + orjson.dumps(key) + b":" + orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
            separator = b",\n"
        file.write(b"\n}\n" if separator == b",\n" else b"{}\n")


@contextmanager
def open_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Open a ``.npy`` file of rows of some shape; yield a function that writes rows, (n, *shape), from a position on.

    Rows may come in any order. Unlike with a memory map, a full disk is a clear error.
    """
    count, size = 0, math.prod(shape) * np.dtype(dtype).itemsize

    def write(row: int, values: np.ndarray) -> None:
        nonlocal count
        count = max(count, row + len(values))
        file.seek(start + row * size)
        file.write(np.ascontiguousarray(values, dtype).data)

    def write_header() -> None:
        facts = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**facts, "shape": (count, *shape)})

    with path.open("wb") as file:
        write_header()
        start = file.tell()
        yield write
        file.seek(0)  # the header keeps its length: NumPy leaves room for the number of rows
        write_header()


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array, (n, …), as ``.npy``; see `open_array`."""
    with open_array(path, array.shape[1:], array.dtype) as write:
        write(0, array)


def write_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays by name as ``.npz``, with the same bytes on every version of Python, unlike `numpy.savez`."""
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), content.getvalue())


def release_pages(array: np.ndarray) -> None:
    """Release what was read of a memory-mapped array; without this, a pass over a large file counts all its bytes."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file with Unix line ends, UTF-8."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_table(path: Path, header: Sequence[str]) -> Iterator[list[str]]:
    """Read the rows of a CSV file below its header.

    Raises:
        UserError: it has other columns.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows, wrong = csv.reader(file), f"{path} does not have the columns {', '.join(header)}: run `dvc repro`"
        if next(rows, None) != list(header):
            raise UserError(wrong)
        for row in rows:
            if len(row) != len(header):
                raise UserError(wrong)
            yield row
