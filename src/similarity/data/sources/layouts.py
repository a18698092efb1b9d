"""How the files of a source become ``<class>/<name>``: by its folders, by a table, or by the names of shards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.images.formats import HEIC_PACKAGE, HEIC_SUFFIXES, IMAGE_SUFFIXES, can_read_heic
from similarity.data.sources.folders import Place, list_files, make_keys, printable, split_of_name
from similarity.data.sources.label_tables import TABLE_NAMES, LabelTable, Row, find_rows, read_label_table
from similarity.data.sources.webdataset import read_samples
from similarity.errors import UserError


class LeftOut(NamedTuple):
    """A file that does not become an image: its path in the source, printable, and the reason."""

    path: str
    reason: str


class Layout(NamedTuple):
    """How the files of a source become images; all paths are those in the source, unless they are called keys."""

    images: dict[PurePosixPath, PurePosixPath]  # the key of each, ``<class>/<name>``
    splits: dict[PurePosixPath, str]  # of images, by their keys, for which the source names one
    left_out: list[LeftOut]  # all other files, except the table of labels
    unlisted: list[PurePosixPath]  # images that the table of labels does not name


class Choices(NamedTuple):
    """How a source is to be understood: the parameters `data.table`, `data.label`, and whether to take HEIC images."""

    table: str | None = None
    label: str | None = None
    heic: bool = True


def list_folder(
    source: Path, choices: Choices | None = None, shards: Mapping[PurePosixPath, Path] | None = None
) -> Layout:
    """Plan how a folder becomes images; see `plan_layout`. `shards` are the tar archives that its files were in.

    Raises:
        UserError: as `plan_layout` and `list_files`.
    """
    choices, files = choices or Choices(), list_files(source)
    if shards and choices.table is None and (found := read_samples(source, shards, choices.label)):
        table, used = found
        return plan_layout((path for path in files if path not in used), choices, table=table)
    return plan_layout(files, choices, lambda path: (source / path).read_bytes())


def plan_layout(
    files: Iterable[PurePosixPath],
    choices: Choices,
    read: Callable[[PurePosixPath], bytes] | None = None,
    table: LabelTable | None = None,
) -> Layout:
    """Find the classes of a source's images, and their splits, by its relative paths or by a table of labels.

    The folder below the source, or below a split folder such as ``train``, is the class. Images in no folder, like
    those in a folder ``unlabeled``, have none. Folders that are around all others are left out of the keys; in keys,
    names of other folders stand before the file's, as in ``<class>/<split>__<folder>__<file>``, so that a key does not
    depend on other images. Hidden files, ``__MACOSX`` and files not named like images are left out.

    The classes are those of a table, if they are known already; otherwise `read`, if given, reads a table of labels.

    Raises:
        DataError: names cannot be keys, or two images would get the same key; or as `read_label_table`, `find_rows`.
        UserError: there are no images, folders are ambiguous, or HEIC images cannot be read.
    """
    files = sorted(files)
    reasons = {path: reason for path in files if (reason := _why_left_out(path, choices.heic))}
    images, base = [path for path in files if path not in reasons], PurePosixPath()
    if table is None and read is not None:
        at = _find_table(files, _folder_around(images, class_folders=False), choices.table)
        if at is not None:
            table, base = read_label_table(str(at), read(at), choices.label), at.parent
            reasons.pop(at, None)
    left_out = [LeftOut(printable(path), reason) for path, reason in reasons.items()]
    _check_images(images, left_out)
    around = _folder_around(images, class_folders=table is None)
    split_folders = _find_split_folders(images, around, has_table=table is not None)
    places = {path: _place_by_folder(path, around, split_folders) for path in images}
    unlisted = list[PurePosixPath]()
    if table is not None:
        rows = find_rows(table, base, files)
        unlisted = [path for path in images if path not in rows]
        for path, (_, split, names) in places.items():
            row = rows.get(path, Row(UNLABELED, None))
            places[path] = Place(row.label, row.split if table.has_splits else split, names)
    elif choices.label is not None:
        raise UserError(
            f"data.label: {choices.label!r} is to be the column of labels, but data.source has no "
            f"{' or '.join(TABLE_NAMES)}; set data.table to the path of the table in it, or leave data.label empty"
        )
    keys = make_keys(places)
    return Layout(keys, {keys[path]: place.split for path, place in places.items() if place.split}, left_out, unlisted)


def _why_left_out(path: PurePosixPath, heic: bool) -> str | None:
    suffix = path.suffix.lower()
    if any(part.startswith(".") for part in path.parts):
        return "hidden: a name in its path begins with a dot"
    if "__MACOSX" in path.parts:
        return "what macOS adds to archives"
    if suffix in HEIC_SUFFIXES and not heic:
        return f"HEIC: to read it, run `pip install '{HEIC_PACKAGE}'` and set data.heic to read"
    return None if suffix in IMAGE_SUFFIXES else "not named like an image"


def _check_images(images: Sequence[PurePosixPath], left_out: Sequence[LeftOut]) -> None:
    if not images:
        such_as = f", such as {left_out[0].path!r} ({left_out[0].reason})" if left_out else ""
        raise UserError(
            f"data.source has no images: files ending in {', '.join(sorted(IMAGE_SUFFIXES))} are needed, preferably in "
            f"class folders; left out were {len(left_out)}{such_as}"
        )
    heic = [path for path in images if path.suffix.lower() in HEIC_SUFFIXES]
    if heic and not can_read_heic():
        raise UserError(
            f"{len(heic)} of {len(images)} images in data.source are HEIC, such as {printable(heic[0])!r}: to read "
            f"them, run `pip install '{HEIC_PACKAGE}'`; to leave them out, set data.heic in params.yaml to leave_out"
        )


def _folder_around(images: Sequence[PurePosixPath], class_folders: bool) -> PurePosixPath:
    """Return the folder that has all class folders, or all images: wrapper folders are skipped."""
    levels = 3 if class_folders else 2
    around: tuple[str, ...] = ()
    while True:
        depth = len(around)
        below = [path.parts[depth:] for path in images if path.parts[:depth] == around and len(path.parts) > depth + 1]
        tops = {parts[0] for parts in below}
        if len(tops) != 1 or max(map(len, below)) < levels:
            return PurePosixPath(*around)
        around += tuple(tops)


def _find_table(files: Sequence[PurePosixPath], around: PurePosixPath, name: str | None) -> PurePosixPath | None:
    """Return the path of the table of labels: next to the images or their folders, or in a folder around these."""
    known = set(files)
    if name is not None:
        if PurePosixPath(name) not in known:
            raise UserError(f"data.table: there is no file {name!r} in data.source")
        return PurePosixPath(name)
    found = [path for folder in (around, *around.parents) for table in TABLE_NAMES if (path := folder / table) in known]
    if len(found) > 1:
        raise UserError(f"data.source has {' and '.join(map(repr, map(str, found)))}: set data.table to one of them")
    return found[0] if found else None


def _find_split_folders(images: Sequence[PurePosixPath], around: PurePosixPath, has_table: bool) -> dict[str, str]:
    """Return the split of each folder, if all but ``unlabeled`` have a split name, and two different splits occur.

    Raises:
        UserError: there are class folders next to folders of splits, which have folders in them.
    """
    below = [path.relative_to(around).parts for path in images if path.is_relative_to(around)]
    tops = sorted({parts[0] for parts in below if len(parts) > 1} - {UNLABELED})
    named = {top: split for top in tops if (split := split_of_name(top))}
    if len(set(named.values())) < 2:
        return {}
    if len(named) == len(tops):
        return named
    if not has_table and any(parts[0] in named and len(parts) > 2 for parts in below):
        others = ", ".join(repr(top) for top in tops if top not in named)
        raise UserError(
            f"the folders {', '.join(map(repr, named))} are called like splits, but next to them is {others}: move it "
            f"into them, or out of data.source; images with neither class nor split belong in {UNLABELED!r}"
        )
    return {}


def _place_by_folder(path: PurePosixPath, around: PurePosixPath, split_folders: Mapping[str, str]) -> Place:
    if not path.is_relative_to(around):
        return Place(UNLABELED, None, path.parts)
    names = path.relative_to(around).parts
    split = split_folders.get(names[0]) if len(names) > 1 else None
    folders = names[1:-1] if split else names[:-1]
    return Place(folders[0] if folders else UNLABELED, split, names)
