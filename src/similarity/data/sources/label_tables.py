"""Classes, and perhaps splits, of images: in CSV tables, or next to the images in webdataset's shards."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import orjson

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.images.formats import IMAGE_SUFFIXES
from similarity.data.sources.folders import SPLIT_OF_NAME, can_be_class, fold, is_hidden, split_of_name
from similarity.errors import DataError, UserError

TABLE_NAMES = ("labels.csv", "labels.tsv")
"""What tables of labels are called, in any case."""
_PATH_COLUMNS = ("path", "filepath", "imagepath", "filename", "file", "imagename", "image", "imageid", "id")
_LABEL_COLUMNS = ("label", "class", "category")
_LABEL_ENTRIES = ("label", "class", "cls")  # of a sample's JSON
_DELIMITERS = ",;\t"


class Row(NamedTuple):
    """What a table says about an image, as it is written there; `place` is what messages call the row."""

    place: str
    path: str
    label: str
    split: str | None  # None if the table has no splits


def read_label_table(name: str, content: bytes, column: str | None) -> list[Row]:
    """Read a table with a column `path`, one of labels, and perhaps one `split`.

    It is CSV in UTF-8, or in UTF-16 with its mark, separated by commas, semicolons or tabs. Without `column`, labels
    are in `label` or in the only other column.

    Raises:
        DataError: rows have a wrong number of columns; it names all.
        UserError: the file cannot be read, or columns are missing.
    """
    text = _decode(name, content)
    hint = re.match(r"(?i)sep=(.)\r?\n", text)  # Excel's
    delimiter = hint[1] if hint else max(_DELIMITERS, key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        kept = (line for line in islice(reader, bool(hint), None) if any(line))
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in kept]
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: {error}: correct it") from error
    header = lines.pop(0)[1] if lines else [""]
    path, label, split = _choose_columns(name, header, column)
    problems = [
        f"{name}, line {number} has {len(line)} columns, where the first line has {len(header)}"
        for number, line in lines
        if len(line) != len(header)
    ]
    if problems:
        raise DataError(problems, f"correct {name}")
    if not lines:
        raise UserError(f"{name} has no rows below its header: fill it, or rename it if it is no table of labels")
    return [
        Row(f"{name}, line {number}", line[path], line[label], None if split is None else line[split])
        for number, line in lines
    ]


def find_rows(rows: Sequence[Row], folder: PurePosixPath, files: Sequence[PurePosixPath]) -> dict[PurePosixPath, Row]:
    """Find the file of each row of a table in a folder: return the rows by the files' paths in the source.

    Case, the form of accents, and the suffix may differ if only one image fits; so may the folder, where the table
    names none, or one of another machine.

    Raises:
        DataError: rows are wrong, name no file, or one that another row calls otherwise; it lists all.
    """
    exact, images = set(files), defaultdict[str, set[PurePosixPath]](set)
    for file in files:
        if file.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(file):
            below = file.relative_to(folder) if file.is_relative_to(folder) else file
            for form in (*_forms(below), *_forms(PurePosixPath(file.name))):
                images[form].add(file)
    found, problems = dict[PurePosixPath, Row](), list[str]()
    for row in rows:
        path = PurePosixPath(row.path.replace("\\", "/"))
        if folder / path in exact:
            fitting = [folder / path]
        else:
            if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path)):  # on another machine
                path = PurePosixPath(path.name)
            fitting = next((sorted(images[form]) for form in _forms(path) if form in images), [])
        if problem := _what_is_wrong(row, fitting):
            problems.append(f"{row.place}: {problem}")
        elif (known := found.setdefault(fitting[0], row))[2:] != row[2:]:
            problems.append(f"{row.place}: {str(path)!r} is {known.label or UNLABELED!r} in {known.place}")
    if problems:
        raise DataError(problems, "correct the table; its paths are relative to its folder")
    return found


def _forms(path: PurePosixPath) -> list[str]:
    """Return what paths that may mean the same have in common: as it is, and without the suffix of an image."""
    text = fold(str(path))
    return [text, fold(str(path.with_suffix("")))] if path.suffix.lower() in IMAGE_SUFFIXES else [text]


def _decode(name: str, content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise UserError(f"{name}, line {number}: this is not UTF-8: save the table as CSV in UTF-8") from error


def _choose_columns(name: str, header: Sequence[str], column: str | None) -> tuple[int, int, int | None]:
    """Return the numbers of the columns of paths, of labels and, if there is one, of splits."""
    names = [re.sub(r"[\W_]", "", cell.casefold()).replace("img", "image") for cell in header]
    shown = ", ".join(map(repr, header))
    paths = [names.index(each) for each in _PATH_COLUMNS if each in names]
    if not paths:
        raise UserError(f"{name} has the columns {shown}, but none called 'path': name one so, or rename the file")
    split = names.index("split") if "split" in names else None
    others = [number for number, cell in enumerate(header) if cell and number not in {paths[0], split}]
    if column is not None:
        labels, missing = [number for number in others if header[number] == column], repr(column)
    else:
        labels = [number for each in _LABEL_COLUMNS for number in others if names[number] == each]
        labels, missing = labels or (others if len(others) == 1 else []), "'label'"
    if not labels:
        raise UserError(f"{name} has the columns {shown}, but none called {missing}: set data.label to one of them")
    return paths[0], labels[0], split


def _what_is_wrong(row: Row, found: Sequence[PurePosixPath]) -> str | None:
    if not row.path:
        return "there is no path"
    if not found:
        return f"there is no file {row.path!r}"
    if len(found) > 1:
        return f"{row.path!r} may be {' or '.join(repr(str(path)) for path in found[:2])}"
    if row.split and split_of_name(row.split) is None:
        return f"the split {row.split!r} is none of {', '.join(SPLIT_OF_NAME)}"
    if not can_be_class(row.label):
        return f"the label {row.label!r} cannot be the name of a folder"
    return None


def list_shards(source: Path, files: Sequence[PurePosixPath]) -> list[Path]:
    """List the tar files in a folder with some files, sorted; none if there are images outside of them."""
    if any(path.suffix.lower() in IMAGE_SUFFIXES for path in files):
        return []
    return sorted(source / path for path in files if path.suffix == ".tar" and len(path.parts) == 1)


def read_samples(
    source: Path, shards: Mapping[PurePosixPath, Path], column: str | None
) -> tuple[list[Row], set[PurePosixPath]]:
    """Read the classes of images from unpacked tar files; return them, and the files that they are from.

    As in webdataset, files with the same path up to the first dot of their name are one sample, and the class of
    ``0001.jpg`` is in ``0001.cls`` or in ``0001.json``. If every shard's name contains a split name, as in
    ``imagenet-train-000000.tar``, the samples have these splits.

    Files are known by their path below the folder that they were unpacked to. `column` is the entry of the JSON that is
    the class; None is ``label``, ``class`` or ``cls``, unless there is a ``.cls``.
    """
    splits = {shard: split_of_name(shard.stem) for shard in set(shards.values())}
    rows, used = list[Row](), set[PurePosixPath]()
    for path, shard in shards.items():
        for suffix in (".cls", ".json") if path.suffix.lower() in IMAGE_SUFFIXES else ():
            named = path.with_name(path.name.split(".", 1)[0] + suffix)
            if named in shards and (label := _read_label(source / named, column)) is not None:
                split = splits[shard] if all(splits.values()) else None
                rows.append(Row(f"{shard.name}, {named}", str(path), label, split))
                used.add(named)
    return rows, used


def _read_label(path: Path, column: str | None) -> str | None:
    """Return the class that a file of a sample names, if it names one."""
    if path.suffix == ".cls" and column is None:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    if path.suffix != ".json":
        return None
    try:
        facts = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return None
    names = _LABEL_ENTRIES if column is None else (column,)
    found = [facts[name] for name in names if isinstance(facts, dict) and isinstance(facts.get(name), str | int)]
    return str(found[0]).strip() if found else None
