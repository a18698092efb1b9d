"""How the files of a folder or an archive become ``<class>/<name>``."""

import fcntl
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import fsencode
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import category

from similarity.dataset.manifest import UNLABELED
from similarity.errors import DataError, UserError
from similarity.images.decoding import HEIC_PACKAGE, HEIC_SUFFIXES, IMAGE_SUFFIXES, can_read_heic
from similarity.sources.archives import Archive, Shards
from similarity.sources.folders import list_tree
from similarity.sources.label_tables import TABLE_NAMES, LabelTable, Row, find_rows, read_label_table
from similarity.sources.split_names import split_of_name
from similarity.sources.webdataset import Samples, read_samples

_JOIN = "__"  # of the names of folders and file in a key
_LONGEST_NAME = 255  # bytes
_LARGEST_TABLE = 1_000_000_000  # bytes
_FICLONE = 0x40049409  # of Linux' ioctl: share the blocks of another file, until one of them is changed


class LeftOut(NamedTuple):
    """A file that does not become an image: its path in the source, printable, and the reason."""

    path: str
    reason: str


class Layout(NamedTuple):
    """How the files of a source become images.

    Attributes:
        images: the path below the images' folder, ``<class>/<name>``, by the path in the source.
        splits: the split of those images, by this path, for which the source names one.
        left_out: all other files, by their path; a table of labels is none.
        unlisted: images that the table of labels does not name, by their path in the source.
    """

    images: dict[PurePosixPath, PurePosixPath]
    splits: dict[PurePosixPath, str]
    left_out: list[LeftOut]
    unlisted: list[PurePosixPath]


class Choices(NamedTuple):
    """How a source is to be understood.

    Attributes:
        table: the path of the table of labels in the source; if None, one of `TABLE_NAMES` that is there.
        label: the column of labels in it, as `read_label_table` takes it.
        heic: whether HEIC images are taken, or left out.
    """

    table: str | None = None
    label: str | None = None
    heic: bool = True


class _Place(NamedTuple):
    """Where an image belongs, and the names of its folders and its file that its key is made of."""

    label: str
    split: str | None
    names: tuple[str, ...]


_Read = Callable[[PurePosixPath], bytes]


def plan_layout(
    files: Iterable[PurePosixPath],
    folders: Iterable[PurePosixPath],
    choices: Choices | None = None,
    read: _Read | None = None,
    samples: Samples | None = None,
) -> Layout:
    """Finds the classes of a source's images, and their splits, by its relative paths or by a table of labels.

    The folder below the source, or below a split folder such as ``train``, is the class. Images in no folder, like
    those in a folder ``unlabeled``, have none. Folders that are around all others are left out of the keys; in keys,
    names of other folders stand before the file's, as in ``<class>/<split>__<folder>__<file>``, so that a key does not
    depend on other images. Hidden files, ``__MACOSX`` and files that are no images by their name are left out.

    Args:
        files: paths of all files.
        folders: paths of all folders, as far as they are listed.
        choices: how the source is to be understood.
        read: gives the content of a file; without it, no table of labels is looked for.
        samples: the classes that stand beside the images, which go before all else.

    Raises:
        DataError: names cannot be keys, or two images would get the same key; or as `read_label_table`, `find_rows`.
        UserError: there are no images, folders are ambiguous, a class is empty, or HEIC images cannot be read.
    """
    choices, files = choices or Choices(), sorted(files)
    if samples:
        files = [path for path in files if path not in samples.files]
    reasons = {path: reason for path in files if (reason := _why_left_out(path, choices.heic))}
    images = [path for path in files if path not in reasons]
    has_table = read is not None and samples is None
    at = _find_table(files, _folder_around(images, class_folders=False), choices.table) if has_table else None
    is_by_folder = at is None and samples is None
    around = _folder_around(images, class_folders=is_by_folder)
    left_out = [LeftOut(_printable(path), reason) for path, reason in reasons.items() if path != at]
    _check_images(images, left_out)
    split_folders = _find_split_folders(images, around, not is_by_folder)
    places = {path: _place_by_folder(path, around, split_folders) for path in images}
    if samples is not None:
        rows = find_rows(samples.table, PurePosixPath(), files)
        return _make_layout_by_rows(places, rows, samples.table, left_out)
    if read is None or at is None:
        _refuse_column_without_table(choices.label)
        # An archive need not list its folders.
        all_folders = {*folders, *(folder for path in files for folder in path.parents)}
        _check_classes(all_folders, around, split_folders, {place.label for place in places.values()}, left_out)
        return _make_layout(places, left_out, [])
    table = read_label_table(str(at), read(at), choices.label)
    return _make_layout_by_rows(places, find_rows(table, at.parent, files), table, left_out)


def _make_layout_by_rows(
    places: Mapping[PurePosixPath, _Place],
    rows: Mapping[PurePosixPath, Row],
    table: LabelTable,
    left_out: list[LeftOut],
) -> Layout:
    labeled = {path: _place_by_row(place, rows.get(path), table.has_splits) for path, place in places.items()}
    return _make_layout(labeled, left_out, [path for path in places if path not in rows])


def _make_layout(
    places: Mapping[PurePosixPath, _Place], left_out: list[LeftOut], unlisted: list[PurePosixPath]
) -> Layout:
    keys = _make_keys(places)
    splits = {keys[path]: place.split for path, place in places.items() if place.split}
    return Layout(keys, splits, left_out, unlisted)


def _why_left_out(path: PurePosixPath, heic: bool) -> str | None:
    suffix = path.suffix.lower()
    if reason := _why_hidden(path):
        return reason
    if suffix in HEIC_SUFFIXES and not heic:
        return f"HEIC: to read it, run `pip install '{HEIC_PACKAGE}'` and set data.heic to read"
    return None if suffix in IMAGE_SUFFIXES else "not named like an image"


def _why_hidden(path: PurePosixPath) -> str | None:
    if any(part.startswith(".") for part in path.parts):
        return "hidden: a name in its path begins with a dot"
    return "what macOS adds to archives" if "__MACOSX" in path.parts else None


def _printable(path: PurePosixPath) -> str:
    """The path with control characters, and what is not valid UTF-8, escaped."""
    return "".join(each.encode("unicode_escape").decode() if _is_odd(each) else each for each in str(path))


def _is_odd(character: str) -> bool:
    return category(character) in {"Cc", "Cs"}


def _describe(left_out: Sequence[LeftOut]) -> str:
    return f"; {len(left_out)} were left out, such as {left_out[0].path!r} ({left_out[0].reason})" if left_out else ""


def _check_images(images: Sequence[PurePosixPath], left_out: Sequence[LeftOut]) -> None:
    if not images:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(
            f"data.source has no images: files ending in {kinds} are needed, preferably in class folders"
            + _describe(left_out)
        )
    heic = [path for path in images if path.suffix.lower() in HEIC_SUFFIXES]
    if heic and not can_read_heic():
        raise UserError(
            f"{len(heic)} of {len(images)} images in data.source are HEIC, such as {_printable(heic[0])!r}: to read "
            f"them, run `pip install '{HEIC_PACKAGE}'`; to leave them out, set data.heic in params.yaml to leave_out"
        )


def _folder_around(images: Sequence[PurePosixPath], class_folders: bool) -> PurePosixPath:
    """The folder that all class folders, or all images, are in: single folders are gone into, whatever lies beside."""
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
    """The path of the table of labels: beside the images or their folders, or in a folder around these."""
    if name is not None:
        if PurePosixPath(name) not in files:
            raise UserError(f"data.table: there is no file {name!r} in data.source")
        return PurePosixPath(name)
    known = set(files)
    found = [path for folder in (around, *around.parents) for table in TABLE_NAMES if (path := folder / table) in known]
    if len(found) > 1:
        raise UserError(f"data.source has {' and '.join(map(repr, map(str, found)))}: set data.table to one of them")
    return found[0] if found else None


def _refuse_column_without_table(column: str | None) -> None:
    if column is not None:
        raise UserError(
            f"data.label: {column!r} is to be the column of labels, but data.source has no {' or '.join(TABLE_NAMES)}; "
            "set data.table to the path of the table in it, or leave data.label empty"
        )


def _find_split_folders(images: Sequence[PurePosixPath], around: PurePosixPath, has_table: bool) -> dict[str, str]:
    """The split of each folder that is called like one, if all but ``unlabeled`` are, and by two different ones.

    Raises:
        UserError: class folders lie beside folders of splits, which have folders in them.
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
            f"the folders {', '.join(map(repr, named))} are called like splits, but beside them is {others}: move it "
            f"into them, or out of data.source; images with neither class nor split belong in {UNLABELED!r}"
        )
    return {}


def _place_by_folder(path: PurePosixPath, around: PurePosixPath, split_folders: Mapping[str, str]) -> _Place:
    if not path.is_relative_to(around):
        return _Place(UNLABELED, None, path.parts)
    names = path.relative_to(around).parts
    split = split_folders.get(names[0]) if len(names) > 1 else None
    folders = names[1:-1] if split else names[:-1]
    return _Place(folders[0] if folders else UNLABELED, split, names)


def _place_by_row(place: _Place, row: Row | None, has_splits: bool) -> _Place:
    """What a table says of an image goes before what its folders say."""
    label, split = row or Row(UNLABELED, None)
    return place._replace(label=label, split=split if has_splits else place.split)


def _make_keys(places: Mapping[PurePosixPath, _Place]) -> dict[PurePosixPath, PurePosixPath]:
    keys = {path: _make_key(place) for path, place in places.items()}
    problems, owner = list[str](), dict[PurePosixPath, PurePosixPath]()
    for path, key in keys.items():
        if any(character == "\\" or _is_odd(character) for character in str(path)):
            problems.append(f"the name {str(path)!r} has a backslash or control characters, or is not valid UTF-8")
        elif len(fsencode(key.name)) > _LONGEST_NAME:
            problems.append(f"the names in {str(path)!r} are too long for one of {_LONGEST_NAME} bytes")
        elif (other := owner.setdefault(key, path)) != path:
            problems.append(f"{str(other)!r} and {str(path)!r} would both be {str(key)!r}")
    if problems:
        raise DataError(problems, "rename this in the source")
    return keys


def _make_key(place: _Place) -> PurePosixPath:
    *folders, name = place.names
    if place.label in folders:
        folders.remove(place.label)
    return PurePosixPath(place.label, _JOIN.join([*folders, name]))


def _check_classes(
    folders: Iterable[PurePosixPath],
    around: PurePosixPath,
    split_folders: Mapping[str, str],
    classes: set[str],
    left_out: Sequence[LeftOut],
) -> None:
    parents = {around / name for name in split_folders} or {around}
    for folder in sorted(folders):
        is_class = folder not in parents and folder.parent in parents and not _why_hidden(folder)
        if is_class and folder.name not in classes:
            inside = [each for each in left_out if each.path.startswith(f"{_printable(folder)}/")]
            raise UserError(
                f"the class folder {str(folder)!r} has no images: add some, or remove the folder{_describe(inside)}"
            )


def list_folder(source: Path, choices: Choices | None = None) -> Layout:
    """Plans how a folder becomes images.

    Raises:
        UserError: as `plan_layout` and `list_tree`.
        OSError: a folder cannot be read.
    """
    return plan_layout(*list_tree(source), choices, lambda path: _read_bounded(source / path))


def _read_bounded(path: Path) -> bytes:
    _check_size(path, path.stat().st_size)
    return path.read_bytes()


def _check_size(path: Path | PurePosixPath, size: int) -> None:
    if size > _LARGEST_TABLE:
        raise UserError(f"{path} has {size / 1e9:.1f} GB: tables of labels are read up to {_LARGEST_TABLE / 1e9:g} GB")


def copy_images(source: Path, layout: Layout, target: Path) -> Iterator[Path]:
    """Copies the images of a folder below `target`, yielding each one's new path.

    The copies share the originals' blocks where the file system can (Btrfs, XFS), until one of the two is changed.

    Raises:
        UserError: an image is a link to nothing, or was removed meanwhile.
    """
    return _bring(source, layout, target, _clone)


def link_images(source: Path, layout: Layout, target: Path) -> Iterator[Path]:
    """Makes symbolic links below `target` to the images of a folder, yielding each one's path.

    Raises:
        UserError: as `copy_images`.
    """
    return _bring(source, layout, target, lambda original, link: link.symlink_to(original.resolve(strict=True)))


def _bring(source: Path, layout: Layout, target: Path, bring: Callable[[Path, Path], object]) -> Iterator[Path]:
    try:
        for path, destination in _destinations(layout, target).items():
            bring(source / path, destination)
            yield destination
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is a link to nothing, or was just removed: correct the source") from error


def _clone(original: Path, copy: Path) -> None:
    with original.open("rb") as read, copy.open("wb") as written:
        try:
            fcntl.ioctl(written, _FICLONE, read.fileno())
        except OSError:  # another file system, or one that cannot
            shutil.copyfileobj(read, written, 1 << 20)


def list_archive(archive: Archive | Shards, source: Path, max_bytes: int, choices: Choices | None = None) -> Layout:
    """Plans how an archive becomes images.

    Args:
        archive: the open archive.
        source: its path, for the message.
        max_bytes: bound on the unpacked size.
        choices: how the source is to be understood.

    Raises:
        UserError: as `plan_layout`; or the archive is hostile, or would take more than the bound or than there is room.
    """
    members = archive.members()
    size = sum(member.size for member in members)
    if size > max_bytes:
        raise UserError(
            f"{source} would unpack to {size / 1e9:.1f} GB, more than data.max_unpacked_gb in params.yaml allows"
        )
    free = shutil.disk_usage(Path.cwd()).free
    if size > free:
        raise UserError(f"{source} would unpack to {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of disk are free")
    choices = choices or Choices()
    shards = archive.parts if isinstance(archive, Shards) else [(source, archive)] if ".tar" in source.suffixes else []
    return plan_layout(
        (member.path for member in members if not member.is_folder),
        (member.path for member in members if member.is_folder),
        choices,
        lambda path: _read_member(archive, path),
        read_samples(shards, choices.label) if choices.table is None else None,
    )


def _read_member(archive: Archive, wanted: PurePosixPath) -> bytes:
    for path, content in archive.contents():
        if path == wanted:
            table = content.read(_LARGEST_TABLE + 1)
            _check_size(path, len(table))
            return table
    raise UserError(f"the archive has no file {str(wanted)!r}")


def unpack_images(archive: Archive, layout: Layout, target: Path) -> Iterator[Path]:
    """Unpacks the images of an archive below `target`, yielding each one's path."""
    destinations = _destinations(layout, target)
    for path, content in archive.contents():
        if path in destinations:
            with destinations[path].open("wb") as file:
                shutil.copyfileobj(content, file)
            yield destinations[path]


def _destinations(layout: Layout, target: Path) -> dict[PurePosixPath, Path]:
    """Makes the class folders and gives the path of every image in them."""
    for label in {key.parts[0] for key in layout.images.values()}:
        (target / label).mkdir()
    return {path: target / key for path, key in layout.images.items()}
