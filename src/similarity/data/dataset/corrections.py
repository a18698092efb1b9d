"""What people decided about labels in doubt: `data/corrections.csv`, in git, which `fetch` applies."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from similarity.data.files import replaced_file, write_table
from similarity.data.sources.folders import can_be_class
from similarity.errors import DataError

Decision = Literal["right", "relabel", "leave_out"]
_COLUMNS = ["key", "decision", "label"]


class Correction(NamedTuple):
    """A decision about an image, and the class to relabel it to, "" for other decisions."""

    decision: Decision
    label: str = ""


def read_corrections(path: Path) -> dict[str, Correction]:
    """Read the decisions by their images' keys; without the file there are none.

    Raises:
        DataError: lines are wrong; it names all.
    """
    corrections, problems = dict[str, Correction](), list[str]()
    if not path.exists():
        return corrections
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if next(lines, None) != _COLUMNS:
            problems.append(f"{path} does not begin with the line {','.join(_COLUMNS)}")
        for line in lines:
            match line:
                case [key, "right" | "leave_out" as decision, ""] if _is_key(key):
                    correction = Correction(decision)
                case [key, "relabel", label] if _is_key(key) and label and can_be_class(label):
                    correction = Correction("relabel", label)
                case _:
                    problems.append(f"{path}, line {lines.line_num}: {','.join(line)!r} is no decision")
                    continue
            if corrections.setdefault(key, correction) is not correction:
                problems.append(f"{path}, line {lines.line_num}: {key!r} is decided in a line above")
    if problems:
        raise DataError(problems, "write KEY,right, or KEY,leave_out, or KEY,relabel,CLASS; or take the file from git")
    return corrections


def _is_key(text: str) -> bool:
    return text.count("/") == 1


def write_corrections(path: Path, corrections: Mapping[str, Correction]) -> None:
    """Replace the file by decisions, sorted by key."""
    with replaced_file(path) as temporary:
        write_table(temporary, _COLUMNS, ((key, *corrections[key]) for key in sorted(corrections)))


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
