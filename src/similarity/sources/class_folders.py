"""How the files of a folder or an archive become ``<class>/<name>``."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import category

from similarity.dataset.manifest import UNLABELED
from similarity.errors import UserError
from similarity.images.decoding import IMAGE_SUFFIXES
from similarity.sources.archives import Archive
from similarity.sources.folders import list_tree

_UNSUPPORTED = dict.fromkeys((".heic", ".heif", ".hif"), "HEIC is not supported: convert it, to JPEG for example")


class LeftOut(NamedTuple):
    """A file that does not become an image: its path in the source, printable, and the reason."""

    path: str
    reason: str


class Layout(NamedTuple):
    """How the files of a source become images.

    Attributes:
        images: the path below the images' folder, ``<class>/<name>``, by the path in the source.
        left_out: all other files, by their path.
    """

    images: dict[PurePosixPath, PurePosixPath]
    left_out: list[LeftOut]


def plan_layout(files: Iterable[PurePosixPath], folders: Iterable[PurePosixPath]) -> Layout:
    """Finds the class folders among a source's relative paths.

    Images in no folder, like those in a folder ``unlabeled``, have no class. A single folder around all others is left
    out of the keys; hidden files, ``__MACOSX`` and files that are no images by their name are left out.

    Raises:
        UserError: there are no images, one is nested too deep, two would get the same key, or a class is empty.
    """
    files = sorted(files)
    reasons = {path: reason for path in files if (reason := _why_left_out(path))}
    left_out = [LeftOut(_printable(path), reason) for path, reason in reasons.items()]
    images = [path for path in files if path not in reasons]
    if not images:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(
            f"data.source has no images: files ending in {kinds} are needed, preferably in class folders"
            + _describe(left_out)
        )
    around = _folder_around(images)
    placed = {path: path.relative_to(around) for path in images}
    _check_places(placed)
    keys = {path: place if len(place.parts) > 1 else UNLABELED / place for path, place in placed.items()}
    # An archive need not list its folders.
    _check_classes({*folders, *(folder for path in files for folder in path.parents)}, around, keys, left_out)
    return Layout(keys, left_out)


def _why_left_out(path: PurePosixPath) -> str | None:
    suffix = path.suffix.lower()
    return _why_hidden(path) or (
        None if suffix in IMAGE_SUFFIXES else _UNSUPPORTED.get(suffix, "not named like an image")
    )


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


def _check_classes(
    folders: Iterable[PurePosixPath],
    around: PurePosixPath,
    keys: Mapping[PurePosixPath, PurePosixPath],
    left_out: Sequence[LeftOut],
) -> None:
    classes = {key.parts[0] for key in keys.values()}
    for folder in sorted(folders):
        is_class = folder != around and folder.parent == around and not _why_hidden(folder)
        if is_class and folder.name not in classes:
            inside = [each for each in left_out if each.path.startswith(f"{_printable(folder)}/")]
            raise UserError(
                f"the class folder {str(folder)!r} has no images: add some, or remove the folder{_describe(inside)}"
            )


def _folder_around(images: Sequence[PurePosixPath]) -> PurePosixPath:
    """The single folder that all class folders are in, or the source itself."""
    depths = {len(path.parts) for path in images}
    tops = {path.parts[0] for path in images}
    return PurePosixPath(*tops) if len(tops) == 1 and min(depths) > 1 and max(depths) > 2 else PurePosixPath()


def _check_places(placed: Mapping[PurePosixPath, PurePosixPath]) -> None:
    places = set(placed.values())
    for path, place in placed.items():
        if any(character == "\\" or _is_odd(character) for character in str(path)):
            raise UserError(
                f"the name {str(path)!r} has a backslash or control characters, or is not valid UTF-8: rename it"
            )
        if len(place.parts) > 2:
            raise UserError(f"the image {str(path)!r} is nested too deep: images must lie in <class>/<name>")
        if len(place.parts) == 1 and UNLABELED / place in places:
            raise UserError(f"there are two images {str(place)!r} without a class, one in {UNLABELED!r}: rename one")


def list_folder(source: Path) -> Layout:
    """Plans how a folder of class folders is copied.

    Raises:
        UserError: as `plan_layout` and `list_tree`.
        OSError: a folder cannot be read.
    """
    return plan_layout(*list_tree(source))


def copy_images(source: Path, layout: Layout, target: Path) -> Iterator[Path]:
    """Copies the images of a folder below `target`, yielding each one's new path.

    They are copied, not linked: DVC's cache must not change when somebody edits a photo in place.

    Raises:
        UserError: an image is a link to nothing, or was removed meanwhile.
    """
    try:
        for path, destination in _destinations(layout, target).items():
            yield Path(shutil.copyfile(source / path, destination))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is a link to nothing, or was just removed: correct the source") from error


def list_archive(archive: Archive, source: Path, max_bytes: int) -> Layout:
    """Plans how an archive of class folders is unpacked.

    Args:
        archive: the open archive.
        source: its path, for the message.
        max_bytes: bound on the unpacked size.

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
    return plan_layout(
        (member.path for member in members if not member.is_folder),
        (member.path for member in members if member.is_folder),
    )


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
