"""Tables of the class, and perhaps the split, of each image: CSV or Parquet."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.images.formats import IMAGE_SUFFIXES
from similarity.data.sources.folders import SPLIT_OF_NAME, can_be_class, fold, is_hidden, split_of_name
from similarity.errors import DataError, UserError

TABLE_NAMES = ("labels.csv", "labels.tsv", "labels.parquet")
"""What tables of labels are called, in any case."""
PYARROW = "pyarrow>=18"
"""The package that reads Parquet, as pip takes it; the extra `parquet`."""
_PATH_COLUMNS = ("path", "filepath", "imagepath", "filename", "file", "imagename", "image", "imageid", "id")
_LABEL_COLUMNS = ("label", "class", "category")
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
    if not entries:
        raise UserError(f"{name} has no rows below its header: fill it, or rename it if it is no table of labels")
    return LabelTable(name, entries, split is not None)


def find_rows(table: LabelTable, folder: PurePosixPath, files: Sequence[PurePosixPath]) -> dict[PurePosixPath, Row]:
    """Find the file of each entry of a table in a folder: return the rows by the files' paths in the source.

    Case, the form of accents, and the suffix may differ if only one image fits; so may the folder, where the table
    names none, or one of another machine.

    Raises:
        DataError: entries are wrong, name no file, or one that another entry calls otherwise; it lists all.
    """
    exact, find_image = {str(path): path for path in files}, _image_finder(folder, files)
    rows, places, problems = dict[PurePosixPath, Row](), dict[PurePosixPath, str](), list[str]()
    for entry in table.entries:
        path = PurePosixPath(entry.path.replace("\\", "/"))
        found = [whole] if (whole := exact.get(str(folder / path))) else find_image(path)
        row = Row(entry.label or UNLABELED, split_of_name(entry.split))
        if problem := _what_is_wrong(entry, found):
            problems.append(f"{entry.place}: {problem}")
        elif rows.setdefault(found[0], row) != row:
            problems.append(f"{entry.place}: {str(path)!r} is {rows[found[0]].label!r} in {places[found[0]]}")
        else:
            places.setdefault(found[0], entry.place)
    if problems:
        raise DataError(problems, f"correct {table.name}; its paths are relative to its folder")
    return rows


def _image_finder(
    folder: PurePosixPath, files: Sequence[PurePosixPath]
) -> Callable[[PurePosixPath], Sequence[PurePosixPath]]:
    """Return a function that finds the images that a path below a folder may stand for."""

    @cache
    def by_form() -> dict[str, list[PurePosixPath]]:
        forms = defaultdict[str, list[PurePosixPath]](list)
        for path in files:
            if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path):
                below = path.relative_to(folder) if path.is_relative_to(folder) else path
                for form in {*_forms(below), *(f"*/{form}" for form in _forms(PurePosixPath(path.name)))}:
                    forms[form].append(path)
        return forms

    def find(path: PurePosixPath) -> Sequence[PurePosixPath]:
        is_foreign = path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path))
        forms = [] if is_foreign else _forms(path)
        if is_foreign or len(path.parts) == 1:
            forms += [f"*/{form}" for form in _forms(PurePosixPath(path.name))]
        return next((found for form in forms if (found := by_form().get(form))), ())

    return find


def _forms(path: PurePosixPath) -> list[str]:
    """Return what paths that may mean the same have in common: as it is, and without the suffix of an image."""
    text = fold(str(path))
    return [text, fold(str(path.with_suffix("")))] if path.suffix.lower() in IMAGE_SUFFIXES else [text]


def _read_csv(name: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with their numbers."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise UserError(f"{name}, line {number}: this is not UTF-8: save the table as CSV in UTF-8") from error
    hint = re.match(r"(?i)sep=(.)\r?\n", text)  # Excel's
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=hint[1] if hint else max(_DELIMITERS, key=first.count))
    try:
        yield from ((reader.line_num, line) for line in islice(reader, bool(hint), None) if any(line))
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
    names = [re.sub(r"[\W_]", "", cell.casefold()).replace("img", "image") for cell in header]
    place = {name: number for number, name in reversed(list(enumerate(names)))}
    shown = ", ".join(map(repr, header))
    path = next((place[each] for each in _PATH_COLUMNS if each in place), None)
    if path is None:
        raise UserError(
            f"{name} has the columns {shown}, but none called 'path': name one so, or rename the file if it is "
            "no table of labels"
        )
    split = place.get("split")
    others = [number for number, cell in enumerate(header) if cell and number not in {path, split}]
    named = [place[each] for each in _LABEL_COLUMNS if place.get(each) in others]
    if column is not None:
        named = [number for number in others if header[number] == column]
        if not named:
            has = ", ".join(repr(header[number]) for number in others)
            raise UserError(f"data.label: {name} has no column {column!r} of labels; it has {has}")
    if not named and len(others) != 1:
        raise UserError(
            f"{name} has the columns {shown}, but none called 'label': set data.label to the one that is to be learned"
        )
    return path, (named or others)[0], split


def _what_is_wrong(entry: Entry, found: Sequence[PurePosixPath]) -> str | None:
    if not entry.path:
        return "there is no path"
    if not found:
        return f"there is no file {entry.path!r}"
    if len(found) > 1:
        return f"{entry.path!r} may be {' or '.join(repr(str(path)) for path in found[:2])}"
    if entry.split and split_of_name(entry.split) is None:
        return f"the split {entry.split!r} is none of {', '.join(SPLIT_OF_NAME)}"
    if not can_be_class(entry.label or UNLABELED):
        return f"the label {entry.label!r} cannot be the name of a folder"
    return None
