"""Read the classes and splits of images from CSV tables and webdataset's shards, and corrections of the classes."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import orjson

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.files import replaced_file, write_table
from similarity.data.images.decoding import IMAGE_SUFFIXES
from similarity.data.sources.folders import SPLIT_OF_NAME, can_be_class, fold, is_hidden, split_of_name
from similarity.errors import DataError, UserError, one_line

TABLE_NAMES = ("labels.csv", "labels.tsv")
"""What tables of labels are called, in any case."""
Decision = Literal["right", "relabel", "leave_out"]
_PATH_COLUMNS = ("path", "filepath", "imagepath", "filename", "file", "imagename", "image", "imageid", "id")
_LABEL_COLUMNS = ("label", "class", "category")
SAMPLE_SUFFIXES = (".cls", ".json")
"""The suffixes of the files in shards that classes may be in."""
_LABEL_ENTRIES = ("label", "class", "cls")  # of a sample's JSON
_CORRECTION_COLUMNS = ["key", "decision", "label"]


class Row(NamedTuple):
    """What a table says about an image, as it is written there; `place` is what messages call the row."""

    place: str
    path: str
    label: str
    split: str | None  # None if the table has no splits


class Correction(NamedTuple):
    """A decision about an image, and the class to relabel it to, "" for other decisions."""

    decision: Decision
    label: str = ""


def read_label_table(name: str, content: bytes, column: str | None) -> list[Row]:
    """Read a table with a column `path`, one of labels, and perhaps one `split`.

    It is CSV in UTF-8, or in UTF-16 with its mark, separated by commas, semicolons or tabs. Without `column`, labels
    are in `label` or in the only other column.

    Raises:
        DataError: rows have a wrong number of columns; it names all.
        UserError: the file cannot be read, or columns are missing.
    """
    try:
        text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        hint = re.match(r"(?i)sep=(.)\r?\n", text)  # Excel's
        delimiter = hint[1] if hint else max(",;\t", key=text.split("\n", 1)[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{name} is not CSV in UTF-8 ({one_line(error)}): save it as that") from error
    (_, header), *lines = lines[bool(hint) :] or [(1, [""])]
    path, label, split = _choose_columns(name, header, column)
    rows, problems = list[Row](), list[str]()
    for number, line in lines:
        if len(line) == len(header):
            split_cell = None if split is None else line[split]
            rows.append(Row(f"{name}, line {number}", line[path], line[label], split_cell))
        else:
            problems.append(f"{name}, line {number} has {len(line)} columns, where the first line has {len(header)}")
    if problems:
        raise DataError(problems, f"correct {name}")
    if not rows:
        raise UserError(f"{name} has no rows below its header: fill it, or rename it if it is no table of labels")
    return rows


def _choose_columns(name: str, header: Sequence[str], column: str | None) -> tuple[int, int, int | None]:
    """Return the numbers of the columns of paths, of labels and, if there is one, of splits."""
    names = [re.sub(r"[\W_]", "", cell.casefold()).replace("img", "image") for cell in header]
    shown = f"{name} has the columns {', '.join(map(repr, header))}, but none called"
    paths = [names.index(each) for each in _PATH_COLUMNS if each in names]
    if not paths:
        raise UserError(f"{shown} 'path': name one so, or rename the file")
    split = names.index("split") if "split" in names else None
    others = [number for number, cell in enumerate(header) if cell and number not in {paths[0], split}]
    if column is not None:
        labels = [number for number in others if header[number] == column]
    else:
        labels = [number for each in _LABEL_COLUMNS for number in others if names[number] == each]
        labels = labels or (others if len(others) == 1 else [])
    if not labels:
        raise UserError(f"{shown} {column or 'label'!r}: set data.label to one of them")
    return paths[0], labels[0], split


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


def _what_is_wrong(row: Row, found: Sequence[PurePosixPath]) -> str | None:
    if not found:
        return f"there is no file {row.path!r}" if row.path else "there is no path"
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


def read_samples(source: Path, shards: Mapping[PurePosixPath, Path], column: str | None) -> list[Row]:
    """Read the classes of images from unpacked tar files, which are known by their files' paths below `source`.

    As in webdataset, files with the same path up to the first dot of their name are one sample, and the class of
    ``0001.jpg`` is in ``0001.cls`` or in ``0001.json``. If every shard's name contains a split name, as in
    ``imagenet-train-000000.tar``, the samples have these splits. `column` is the entry of the JSON that is the class;
    None is ``label``, ``class`` or ``cls``, unless there is a ``.cls``.
    """
    splits = {shard: split_of_name(shard.stem) for shard in set(shards.values())}
    rows = list[Row]()
    for path, shard in shards.items():
        for suffix in SAMPLE_SUFFIXES if path.suffix.lower() in IMAGE_SUFFIXES else ():
            named = path.with_name(path.name.split(".", 1)[0] + suffix)
            if named in shards and (label := _read_label(source / named, column)) is not None:
                split = splits[shard] if all(splits.values()) else None
                rows.append(Row(f"{shard.name}, {named}", str(path), label, split))
    return rows


def _read_label(path: Path, column: str | None) -> str | None:
    """Return the class that a file of a sample names, if it names one."""
    if path.suffix == ".cls":
        return path.read_text(encoding="utf-8", errors="replace").strip() if column is None else None
    try:
        facts = dict(orjson.loads(path.read_bytes()))
    except (TypeError, ValueError):  # it is not a JSON object
        return None
    names = _LABEL_ENTRIES if column is None else (column,)
    return next((str(facts[name]).strip() for name in names if isinstance(facts.get(name), str | int)), None)


def read_corrections(path: Path) -> dict[str, Correction]:
    """Read the decisions about findings by their images' keys; without the file there are none.

    Raises:
        DataError: lines are wrong; it names all.
    """
    corrections, problems = dict[str, Correction](), list[str]()
    if not path.exists():
        return corrections
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != _CORRECTION_COLUMNS:
            problems.append(f"{path} does not begin with the line {','.join(_CORRECTION_COLUMNS)}")
        for row in rows:
            match row:
                case [key, "right" | "leave_out" as decision, ""] if _is_new(key, corrections):
                    corrections[key] = Correction(decision)
                case [key, "relabel", label] if _is_new(key, corrections) and label and can_be_class(label):
                    corrections[key] = Correction("relabel", label)
                case _:
                    problems.append(f"{path}, line {rows.line_num}: {','.join(row)!r} is no decision, or a second one")
    if problems:
        raise DataError(problems, "write KEY,right, or KEY,leave_out, or KEY,relabel,CLASS; or take the file from git")
    return corrections


def _is_new(key: str, corrections: Mapping[str, Correction]) -> bool:
    return key.count("/") == 1 and key not in corrections


def write_corrections(path: Path, corrections: Mapping[str, Correction]) -> None:
    """Replace the file by decisions, sorted by key."""
    with replaced_file(path) as temporary:
        write_table(temporary, _CORRECTION_COLUMNS, ((key, *corrections[key]) for key in sorted(corrections)))


def corrected_key(key: str, corrections: Mapping[str, Correction]) -> str | None:
    """Return the key that an image of the source has after `fetch`, or None if it is left out.

    Relabeled, ``old/name`` becomes ``new/old__name``. What is decided about that new key counts as well.
    """
    (old, name), corrected, seen = key.split("/"), key, set[str]()
    while corrected in corrections and corrected not in seen:
        seen.add(corrected)
        decision, new = corrections[corrected]
        if decision == "leave_out":
            return None
        if decision == "relabel":
            corrected = key if new == old else f"{new}/{old}__{name}"
    return corrected


def decided_keys(corrections: Mapping[str, Correction]) -> set[str]:
    """Return the keys, as they are after `fetch`, of images about whose labels nothing is left to decide."""
    return {key for decided in corrections if (key := corrected_key(decided, corrections)) is not None}
