"""How the files of a source become ``<class>/<name>``: by its folders, a table, what shards say, and corrections."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.images.decoding import HEIC_PACKAGE, IMAGE_SUFFIXES, START, can_read_heic, image_format
from similarity.data.sources import label_tables
from similarity.data.sources.folders import MAX_NAME_BYTES, is_hidden, is_odd, printable, split_of_name
from similarity.data.sources.label_tables import Correction, Row
from similarity.errors import DataError, UserError
from similarity.params import DataParams

_SYSTEM = (
    "__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "lost+found",
    "system volume information",
)  # fmt: skip
_HEIC = f"HEIC: to read it, run `pip install '{HEIC_PACKAGE}'` and set data.heic to read"
_WRAPPERS = ("image", "images", "img", "imgs")  # between a folder of a split and those of classes
_NO_ROW = Row("", "", "", None)
_JOIN = "__"  # of the names of folders and file in a key


class Layout(NamedTuple):
    """How the files of a source become images, by their paths in it."""

    images: dict[PurePosixPath, str]  # the key of each, ``<class>/<name>``
    splits: dict[PurePosixPath, str]  # of images for which the source names one
    left_out: list[tuple[str, str]]  # all other files but those of labels, printable, and the reason
    unlisted: list[PurePosixPath]  # images that the table of labels does not name
    corrected: int  # images that corrections relabeled or left out
    gone: int  # corrections of no image that is there


def plan_layout(
    source: Path,
    files: Iterable[PurePosixPath],
    data: DataParams,
    shards: Mapping[PurePosixPath, Path],
    corrections: Mapping[str, Correction],
) -> Layout:
    """Find the classes of a source's images, and their splits, by its relative paths or by a table of labels.

    The folder below the source, or below a split folder such as ``train``, is the class. Images in no folder, like
    those in a folder ``unlabeled``, have none. Folders that are around all others are left out of the keys; in keys,
    names of other folders stand before the file's, as in ``<class>/<split>__<folder>__<file>``, so that a key does not
    change when files are added or removed elsewhere. What has the suffix of an image but is none, is for `scan` to
    judge.

    `files` are all files in the source, and `shards` the tar archives that they were in, if any.

    Raises:
        DataError: names cannot be keys, or two images would get the same key; or as `read_label_table`, `find_rows`.
        UserError: there are no images, folders are ambiguous, or HEIC images cannot be read.
    """
    files, rows, table = sorted(files), list[Row](), None
    if shards and data.table is None and data.labels == "folders":
        rows = label_tables.read_samples(source, shards, data.label)
        files = [path for path in files if not rows or path.suffix not in label_tables.SAMPLE_SUFFIXES]
    reasons = {path: reason for path in files if (reason := _why_left_out(path, source, data.heic))}
    images = [path for path in files if path not in reasons]
    if data.labels == "folders" and not rows:
        table = _find_table(files, _folder_around(images, class_folders=False), data)
        if table is not None:
            rows = label_tables.read_label_table(str(table), (source / table).read_bytes(), data.label)
            reasons.pop(table, None)
    left_out = [(printable(path), reason) for path, reason in reasons.items()]
    _check_images(images, left_out, data.heic)
    listed = label_tables.find_rows(rows, table.parent if table else PurePosixPath(), files)
    has_classes = data.labels == "folders" and not rows  # in its folders
    has_splits = any(row.split is not None for row in rows)
    around = _folder_around(images, has_classes)
    split_folders = _find_split_folders(images, around, has_classes)
    planned, splits = dict[PurePosixPath, str](), dict[PurePosixPath, str]()
    for path in images:
        label, split, names = _place_by_folder(path, around, split_folders)
        row = listed.get(path, _NO_ROW)
        if not has_classes:
            label = row.label or UNLABELED
        if has_splits:
            split = split_of_name(row.split or "")
        planned[path] = _make_key(label, names)
        if split:
            splits[path] = split
    _check_keys(planned, "rename this in the source")
    corrected = {path: label_tables.corrected_key(key, corrections) for path, key in planned.items()}
    keys = {path: key for path, key in corrected.items() if key is not None}
    _check_keys(keys, "rename this in the source, or decide otherwise about what was relabeled")
    left_out += [(printable(path), "left out by a correction") for path in images if path not in keys]
    splits = {path: split for path, split in splits.items() if path in keys}
    changed = sum(corrected[path] != key for path, key in planned.items())
    there = corrections.keys() & planned.values()
    relabeled = {key.replace("/", _JOIN) for key in there}  # the names in their later keys
    gone = sum(key not in there and key.split("/")[1] not in relabeled for key in corrections)
    unlisted = [path for path in images if rows and path not in listed]
    return Layout(keys, splits, sorted(left_out), unlisted, changed, gone)


def _why_left_out(path: PurePosixPath, source: Path, heic: str) -> str | None:
    if is_hidden(path):
        return "hidden: a name in its path begins with a dot"
    if any(part.casefold() in _SYSTEM for part in path.parts):
        return "what an operating system or a network drive keeps for itself"
    if path.suffix and path.suffix.lower() not in IMAGE_SUFFIXES:
        return "not named like an image"
    kind = None
    with suppress(FileNotFoundError), (source / path).open("rb") as file:  # a link to nothing is named when copied
        kind = image_format(file.read(START))
    if kind == "HEIF" and not (heic == "read" and can_read_heic()):
        return _HEIC
    return None if kind or path.suffix else "not named like an image"


def _check_images(images: Sequence[PurePosixPath], left_out: Sequence[tuple[str, str]], heic: str) -> None:
    unread = [path for path, reason in left_out if reason == _HEIC]
    if heic == "read" and unread:
        raise UserError(
            f"{len(unread)} of {len(images) + len(unread)} images in data.source are HEIC, such as {unread[0]!r}: to "
            f"read them, run `pip install '{HEIC_PACKAGE}'`; to leave them out, set data.heic to leave_out"
        )
    if not images:
        such_as = f", such as {left_out[0][0]!r} ({left_out[0][1]})" if left_out else ""
        raise UserError(f"data.source has no images, and {len(left_out)} other files{such_as}")


def _folder_around(images: Sequence[PurePosixPath], class_folders: bool) -> PurePosixPath:
    """Return the folder that has all class folders, or all images: wrapper folders are skipped."""
    around, below = PurePosixPath(), [path.parts for path in images]
    while True:
        below = [parts for parts in below if len(parts) > 1]
        tops = {parts[0] for parts in below}
        if len(tops) != 1 or max(map(len, below)) < (3 if class_folders else 2):
            return around
        around /= tops.pop()
        below = [parts[1:] for parts in below]


def _find_table(files: Sequence[PurePosixPath], around: PurePosixPath, data: DataParams) -> PurePosixPath | None:
    """Return the path of the table of labels: next to the images or their folders, or in a folder around these."""
    if data.table is not None:
        if PurePosixPath(data.table) not in files:
            raise UserError(f"data.table: there is no file {data.table!r} in data.source")
        return PurePosixPath(data.table)
    folders, names = {around, *around.parents}, label_tables.TABLE_NAMES
    found = [path for path in files if path.parent in folders and path.name.casefold() in names]
    if len(found) > 1:
        raise UserError(f"data.source has {' and '.join(map(str, found))}: set data.table to one of them")
    if not found and data.label is not None:
        raise UserError(
            f"data.label is {data.label!r}, but data.source has no {' or '.join(names)}, and no shards with such an "
            "entry: set data.table to the path of the table in it, or leave data.label empty"
        )
    return found[0] if found else None


def _find_split_folders(images: Sequence[PurePosixPath], around: PurePosixPath, has_classes: bool) -> dict[str, str]:
    """Return the split of each folder, if all but ``unlabeled`` have a split name, and two different splits occur.

    Raises:
        UserError: there are class folders next to folders of splits, which have folders in them.
    """
    below = [path.relative_to(around).parts for path in images if path.is_relative_to(around)]
    tops = sorted({parts[0] for parts in below if len(parts) > 1} - {UNLABELED})
    named = {top: split for top in tops if (split := split_of_name(top))}
    others = [top for top in tops if top not in named]
    if len(set(named.values())) < 2:
        return {}
    if others and has_classes and any(parts[0] in named and len(parts) > 2 for parts in below):
        raise UserError(
            f"the folders {', '.join(map(repr, named))} are called like splits, but next to them is "
            f"{', '.join(map(repr, others))}: move it into them, or out of data.source; images with neither class nor "
            f"split belong in {UNLABELED!r}"
        )
    return {} if others else named


def _place_by_folder(
    path: PurePosixPath, around: PurePosixPath, split_folders: Mapping[str, str]
) -> tuple[str, str | None, tuple[str, ...]]:
    """Return the class and the split of an image by its folders, and the names that its key is made of."""
    if not path.is_relative_to(around):
        return UNLABELED, None, path.parts
    names = path.relative_to(around).parts
    split = split_folders.get(names[0]) if len(names) > 1 else None
    folders = names[1:-1] if split else names[:-1]
    if split and folders and folders[0].casefold() in {names[0].casefold(), *_WRAPPERS}:
        folders = folders[1:]
    return folders[0] if folders else UNLABELED, split, names


def _make_key(label: str, names: Sequence[str]) -> str:
    *folders, name = names
    if label in folders:
        folders.remove(label)
    return f"{label}/{_JOIN.join([*folders, name])}"


def _check_keys(keys: Mapping[PurePosixPath, str], advice: str) -> None:
    """Raise a `DataError` that names all images whose paths cannot be keys, or that have the key of another one."""
    problems, owner = list[str](), dict[str, PurePosixPath]()
    for path, key in keys.items():
        if any(character == "\\" or is_odd(character) for character in str(path)):
            problems.append(f"the name {str(path)!r} has a backslash or control characters, or is not valid UTF-8")
        elif len(os.fsencode(key.split("/")[1])) > MAX_NAME_BYTES:
            problems.append(f"the names in {str(path)!r} are too long for one of {MAX_NAME_BYTES} bytes")
        elif (other := owner.setdefault(key, path)) != path:
            problems.append(f"{str(other)!r} and {str(path)!r} would both be {key!r}")
    if problems:
        raise DataError(problems, advice)
