"""How the files of a source become ``<class>/<name>``: by its folders, by a table, or by the names of shards."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from similarity.data.dataset.corrections import Correction, corrected_key
from similarity.data.dataset.manifest import UNLABELED
from similarity.data.images.formats import HEIC_PACKAGE, IMAGE_SUFFIXES, START, can_read_heic, image_format
from similarity.data.sources.folders import Place, is_hidden, list_files, make_keys, printable, split_of_name
from similarity.data.sources.label_tables import TABLE_NAMES, LabelTable, find_rows, read_label_table
from similarity.data.sources.webdataset import read_samples
from similarity.errors import DataError, UserError

_SYSTEM = frozenset(
    {
        "__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "lost+found",
        "system volume information",
    }
)  # fmt: skip
_HEIC = f"HEIC: to read it, run `pip install '{HEIC_PACKAGE}'` and set data.heic to read"
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
_WRAPPERS = frozenset({"image", "images", "img", "imgs"})  # between a folder of a split and those of classes


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
    """How a source is to be understood: the parameters `data.table` and `data.label`, and whether to take HEIC images.

    Without `has_labels`, neither folders nor tables give classes.
    """

    table: str | None = None
    label: str | None = None
    heic: bool = True
    has_labels: bool = True


def list_folder(
    source: Path, choices: Choices | None = None, shards: Mapping[PurePosixPath, Path] | None = None
) -> Layout:
    """Plan how a folder becomes images; see `plan_layout`. `shards` are the tar archives that its files were in.

    Raises:
        UserError: as `plan_layout` and `list_files`.
    """
    choices, files = choices or Choices(), list_files(source)

    def read(path: PurePosixPath, size: int) -> bytes:
        try:
            with (source / path).open("rb") as file:
                return file.read(size)
        except FileNotFoundError:  # a link to nothing, which is named where it is to be brought
            return b""

    has_table = choices.table is not None or not choices.has_labels  # or needs none
    if shards and not has_table and (found := read_samples(source, shards, choices.label)):
        table, used = found
        return plan_layout((path for path in files if path not in used), choices, read, table)
    return plan_layout(files, choices, read)


def plan_layout(
    files: Iterable[PurePosixPath],
    choices: Choices,
    read: Callable[[PurePosixPath, int], bytes] = lambda *_: b"",
    table: LabelTable | None = None,
) -> Layout:
    """Find the classes of a source's images, and their splits, by its relative paths or by a table of labels.

    The folder below the source, or below a split folder such as ``train``, is the class. Images in no folder, like
    those in a folder ``unlabeled``, have none. Folders that are around all others are left out of the keys; in keys,
    names of other folders stand before the file's, as in ``<class>/<split>__<folder>__<file>``, so that a key does not
    depend on other images. Hidden files, ``__MACOSX`` and files not named like images are left out; those without a
    suffix are images if their first bytes say so, which `read` gets, given a path and a number of bytes, -1 for all.
    Whether an image is HEIC is in these bytes as well, whatever its name.

    The classes are those of a table, if they are known already; otherwise one is looked for in the source.

    Raises:
        DataError: names cannot be keys, or two images would get the same key; or as `read_label_table`, `find_rows`.
        UserError: there are no images, folders are ambiguous, or HEIC images cannot be read.
    """
    files = sorted(files)
    reasons = {path: reason for path in files if (reason := _why_left_out(path, read, choices.heic))}
    images, base = [path for path in files if path not in reasons], PurePosixPath()
    if table is None and choices.has_labels:
        at = _find_table(files, _folder_around(images, class_folders=False), choices.table)
        if at is not None:
            table, base = read_label_table(str(at), read(at, -1), choices.label), at.parent
            reasons.pop(at, None)
    if table is None and choices.has_labels and choices.label is not None:
        raise UserError(
            f"data.label: {choices.label!r} is to be the column of labels, but data.source has no "
            f"{' or '.join(TABLE_NAMES)}; set data.table to the path of the table in it, or leave data.label empty"
        )
    left_out = [LeftOut(printable(path), reason) for path, reason in reasons.items()]
    _check_images(images, left_out, choices.heic)
    rows = find_rows(table, base, files) if table else {}
    has_classes = choices.has_labels and table is None  # in its folders
    around = _folder_around(images, has_classes)
    split_folders = _find_split_folders(images, around, has_classes)
    places = dict[PurePosixPath, Place]()
    for path in images:
        label, split, names = _place_by_folder(path, around, split_folders)
        if not has_classes:
            label = UNLABELED
        if table:
            label, given = rows.get(path, (UNLABELED, None))
            split = given if table.has_splits else split
        places[path] = Place(label, split, names)
    keys, unlisted = make_keys(places), [path for path in images if path not in rows] if table else []
    return Layout(keys, {keys[path]: place.split for path, place in places.items() if place.split}, left_out, unlisted)


def correct_layout(layout: Layout, corrections: Mapping[str, Correction]) -> Layout:
    """Relabel images, and leave some out, as people decided.

    Raises:
        DataError: two images would get the same key; it names all.
    """
    keys = {path: corrected_key(str(key), corrections) for path, key in layout.images.items()}
    images = {path: PurePosixPath(key) for path, key in keys.items() if key is not None}
    if twice := [key for key, count in Counter(images.values()).items() if count > 1]:
        problems = [f"two images would be {str(key)!r}" for key in twice]
        raise DataError(problems, "leave one of them out, or decide otherwise")
    paths = {key: path for path, key in layout.images.items()}
    splits = {images[paths[key]]: split for key, split in layout.splits.items() if paths[key] in images}
    left_out = [LeftOut(printable(path), "left out by a correction") for path in keys if path not in images]
    return Layout(images, splits, sorted([*layout.left_out, *left_out]), layout.unlisted)


def _why_left_out(path: PurePosixPath, read: Callable[[PurePosixPath, int], bytes], heic: bool) -> str | None:
    if path.suffix == ".icloud":
        return "in iCloud only: download it first"
    if is_hidden(path):
        return "hidden: a name in its path begins with a dot"
    if any(part.casefold() in _SYSTEM for part in path.parts):
        return "what an operating system or a network drive keeps for itself"
    if path.suffix and path.suffix.lower() not in IMAGE_SUFFIXES:
        return "not named like an image"
    kind = image_format(read(path, START))
    if kind == "HEIF" and not (heic and can_read_heic()):
        return _HEIC
    return None if kind or path.suffix else "not named like an image"


def _check_images(images: Sequence[PurePosixPath], left_out: Sequence[LeftOut], heic: bool) -> None:
    unread = [each.path for each in left_out if each.reason == _HEIC]
    if heic and unread:
        raise UserError(
            f"{len(unread)} of {len(images) + len(unread)} images in data.source are HEIC, such as {unread[0]!r}: to "
            f"read them, run `pip install '{HEIC_PACKAGE}'`; to leave them out, set data.heic to leave_out"
        )
    if archives := [each.path for each in left_out if not images and each.path.lower().endswith(_ARCHIVES)]:
        raise UserError(
            f"data.source has no images, but archives, such as {archives[0]!r}: unpack them all into one folder, "
            "and set data.source to it"
        )
    if not images:
        such_as = f", such as {left_out[0].path!r} ({left_out[0].reason})" if left_out else ""
        raise UserError(
            f"data.source has no images: files ending in {', '.join(sorted(IMAGE_SUFFIXES))} are needed, preferably in "
            f"class folders; left out were {len(left_out)}{such_as}"
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
    if name is not None:
        if PurePosixPath(name) not in files:
            raise UserError(f"data.table: there is no file {name!r} in data.source")
        return PurePosixPath(name)
    folders = {around, *around.parents}
    found = [path for path in files if path.parent in folders and path.name.casefold() in TABLE_NAMES]
    if len(found) > 1:
        raise UserError(f"data.source has {' and '.join(map(repr, map(str, found)))}: set data.table to one of them")
    return found[0] if found else None


def _find_split_folders(images: Sequence[PurePosixPath], around: PurePosixPath, has_classes: bool) -> dict[str, str]:
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
    if has_classes and any(parts[0] in named and len(parts) > 2 for parts in below):
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
    if split and folders and folders[0].casefold() in {names[0].casefold(), *_WRAPPERS}:
        folders = folders[1:]
    return Place(folders[0] if folders else UNLABELED, split, names)
