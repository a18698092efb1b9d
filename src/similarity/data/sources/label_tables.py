"""Tables of the class, and perhaps the split, of each image: CSV or Parquet."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.sources.folders import SPLIT_OF_NAME, can_be_class, split_of_name
from similarity.errors import DataError, UserError

TABLE_NAMES = ("labels.csv", "labels.parquet")
PYARROW = "pyarrow>=18"
"""The package that reads Parquet, as pip takes it; the extra `parquet`."""
_PATH_COLUMNS = ("path", "file_name", "filename", "file", "image")
_LABEL_COLUMN, _SPLIT_COLUMN = "label", "split"
_DELIMITERS = ",;\t"


class Entry(NamedTuple):
    """An image's path, class and split as they are written, and what messages call the place where they are."""

    place: str
    path: str
    label: str
    split: str


class LabelTable(NamedTuple):
    """The content of a table; its paths are relative to the folder that it is in."""

    name: str
    entries: Sequence[Entry]
    has_splits: bool


class Row(NamedTuple):
    """The class of an image, `UNLABELED` if the table names none, and its split, one of `SPLIT_NAMES` or None."""

    label: str
    split: str | None


def read_label_table(name: str, content: bytes, column: str | None) -> LabelTable:
    """Read a table with a column `path`, one of labels, and perhaps one `split`.

    A file whose name ends in ``.parquet`` is read as Parquet, others as CSV in UTF-8, or in UTF-16 with its mark,
    separated by commas, semicolons or tabs. Without `column`, labels are in `label` or in the only other column.

    Raises:
        DataError: rows have a wrong number of columns; it names all.
        UserError: the file cannot be read, or columns are missing.
    """
    lines = _read_csv(name, _as_csv(name, content) if name.lower().endswith(".parquet") else content)
    header = [cell.strip() for cell in next(lines, (1, [""]))[1]]
    path, label, split = _choose_columns(name, header, column)
    entries, problems = list[Entry](), list[str]()
    for number, line in lines:
        if len(line) == len(header):
            cells = (line[path], line[label], "" if split is None else line[split])
            entries.append(Entry(f"{name}, line {number}", *(cell.strip() for cell in cells)))
        else:
            problems.append(f"{name}, line {number} has {len(line)} columns, where the first line has {len(header)}")
    if problems:
        raise DataError(problems, f"correct {name}")
    return LabelTable(name, entries, split is not None)


def find_rows(table: LabelTable, folder: PurePosixPath, files: Iterable[PurePosixPath]) -> dict[PurePosixPath, Row]:
    """Find the file of each entry of a table in a folder: return the rows by the files' paths in the source.

    Names with accents are found in either of Unicode's forms: macOS writes another one than most programs do.

    Raises:
        DataError: entries are wrong, name no file, or one that another entry names; it lists all.
    """
    by_form = {normalize("NFC", str(path)): path for path in files} | {str(path): path for path in files}
    rows, places, problems = dict[PurePosixPath, Row](), dict[PurePosixPath, str](), list[str]()
    for entry in table.entries:
        path = PurePosixPath(entry.path.replace("\\", "/"))
        whole = str(folder / path)
        file = by_form.get(whole) or by_form.get(normalize("NFC", whole))
        if problem := _what_is_wrong(entry, path):
            problems.append(f"{entry.place}: {problem}")
        elif file is None:
            problems.append(f"{entry.place}: there is no file {str(path)!r} below the folder of the table")
        elif file in places:
            problems.append(f"{entry.place}: {str(path)!r} is in {places[file]} already")
        else:
            places[file], rows[file] = entry.place, Row(entry.label or UNLABELED, split_of_name(entry.split))
    if problems:
        raise DataError(problems, f"correct {table.name}")
    return rows


def _read_csv(name: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with their numbers."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise UserError(f"{name}, line {number}: this is not UTF-8: save the table as CSV in UTF-8") from error
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count))
    try:
        yield from ((reader.line_num, line) for line in reader if any(line))
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: {error}: correct it") from error


def _as_csv(name: str, content: bytes) -> bytes:
    """Write Parquet as CSV; its rows begin at line 2."""
    if find_spec("pyarrow") is None:
        raise UserError(f"{name}: to read Parquet, run `pip install '{PYARROW}'`, or save the table as labels.csv")
    import pyarrow as pa  # type: ignore[import-untyped]  # it comes without types
    from pyarrow import csv as writer
    from pyarrow import parquet

    written = io.BytesIO()
    try:
        writer.write_csv(parquet.read_table(pa.BufferReader(content)), written)
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} is damaged, or no table ({reason}): write it again, or as labels.csv") from error
    return written.getvalue()


def _choose_columns(name: str, header: Sequence[str], column: str | None) -> tuple[int, int, int | None]:
    """Return the numbers of the columns of paths, of labels and, if there is one, of splits."""
    place = {cell.casefold(): number for number, cell in reversed(list(enumerate(header)))}
    shown = ", ".join(map(repr, header))
    path = next((place[each] for each in _PATH_COLUMNS if each in place), None)
    if path is None:
        raise UserError(
            f"{name} has the columns {shown}, but none called 'path': name one so, or rename the file if it is "
            "no table of labels"
        )
    split = place.get(_SPLIT_COLUMN)
    others = [cell for number, cell in enumerate(header) if number not in {path, split}]
    if column is not None and column not in others:
        raise UserError(f"data.label: {name} has no column {column!r} of labels; it has {', '.join(map(repr, others))}")
    if column is None and _LABEL_COLUMN not in place and len(others) != 1:
        raise UserError(
            f"{name} has the columns {shown}, but none called 'label': set data.label to the one that is to be learned"
        )
    chosen = column or (header[place[_LABEL_COLUMN]] if _LABEL_COLUMN in place else others[0])
    return path, header.index(chosen), split


def _what_is_wrong(entry: Entry, path: PurePosixPath) -> str | None:
    if not entry.path:
        return "there is no path"
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:/", str(path)):
        return f"{str(path)!r} is not below the folder of the table"
    if entry.split and split_of_name(entry.split) is None:
        return f"the split {entry.split!r} is none of {', '.join(SPLIT_OF_NAME)}"
    if not can_be_class(entry.label or UNLABELED):
        return f"the label {entry.label!r} cannot be the name of a folder"
    return None
