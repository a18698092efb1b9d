"""Where a data set comes from: a folder, an archive, or a recipe; and how it becomes ``<class>/<name>``."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple
from unicodedata import category

import yaml
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from similarity.dataset.manifest import UNLABELED
from similarity.errors import UserError
from similarity.generated.rocks import CLASSES, draw_rock
from similarity.images.decoding import IMAGE_SUFFIXES
from similarity.sources.archives import Archive

_MAX_DEPTH = 4  # folders below the source that are looked into; what lies deeper is refused anyway


class GeneratedSet(BaseModel):
    """The settings of the generated demo set."""

    model_config = ConfigDict(extra="forbid")

    images_per_class: Annotated[int, Field(ge=1, le=100_000)]
    size: Annotated[int, Field(ge=16, le=1024)]  # pixels
    seed: Annotated[int, Field(ge=0)]


class Recipe(BaseModel):
    """A data set in words: an archive to download, or the demo set's settings."""

    model_config = ConfigDict(extra="forbid")

    title: str
    licence: str
    citation: str
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    generate: GeneratedSet | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Recipe":
        if (self.url is None) == (self.generate is None):
            raise ValueError("exactly one of `url` and `generate` is needed")
        return self


class Layout(NamedTuple):
    """How the files of a source become images.

    Attributes:
        images: the path below the images' folder, ``<class>/<name>``, by the path in the source.
        ignored: files in the source that are no images by their name; hidden ones are not counted.
    """

    images: dict[PurePosixPath, PurePosixPath]
    ignored: list[PurePosixPath]


def plan_layout(files: Iterable[PurePosixPath], folders: Iterable[PurePosixPath]) -> Layout:
    """Finds the class folders among a source's relative paths.

    Images in no folder, like those in a folder ``unlabeled``, have no class. A single folder around all others is left
    out of the keys; hidden files, ``__MACOSX`` and files that are no images by their name are left out altogether.

    Raises:
        UserError: there are no images, one is nested too deep, two would get the same key, or a class is empty.
    """
    visible = sorted(path for path in files if not _is_hidden(path))
    images = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES]
    ignored = [path for path in visible if path.suffix.lower() not in IMAGE_SUFFIXES]
    if not images:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"there are no images in it: files ending in {kinds} are needed, best in class folders")
    depths = {len(path.parts) for path in images}
    tops = {path.parts[0] for path in images}
    wrapped = len(tops) == 1 and min(depths) > 1 and max(depths) > 2
    placed = {path: PurePosixPath(*path.parts[1:]) if wrapped else path for path in images}
    if twice := [key for key in placed.values() if len(key.parts) == 1 and UNLABELED / key in placed.values()]:
        raise UserError(f"there are two images {str(twice[0])!r} without a class, one in {UNLABELED!r}: rename one")
    placed = {path: UNLABELED / key if len(key.parts) == 1 else key for path, key in placed.items()}
    for path, key in placed.items():
        if any(category(character) in {"Cc", "Cs"} for character in str(path)):
            raise UserError(f"the name {str(path)!r} has control characters or is not valid UTF-8: rename it")
        if len(key.parts) > 2:
            raise UserError(f"the image {str(path)!r} is nested too deep: images must lie in <class>/<name>")
    depth, classes = 1 + wrapped, {key.parts[0] for key in placed.values()}
    for folder in sorted(folders):
        beside = len(folder.parts) == depth and (not wrapped or folder.parts[0] in tops)
        if beside and not _is_hidden(folder) and folder.name not in classes:
            raise UserError(f"the class folder {str(folder)!r} has no images: add some, or remove the folder")
    return Layout(placed, ignored)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe.

    Raises:
        UserError: it is no YAML, or a field is missing, unknown or not allowed.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(_explain(problem) for problem in error.errors())}") from error


def _explain(problem: Any) -> str:
    field = ".".join(map(str, problem["loc"])) or "the recipe"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"


def list_folder(source: Path) -> Layout:
    """Plans how a folder of class folders is copied.

    Raises:
        UserError: as `plan_layout`.
    """
    files, folders = [], []
    for root, names, found in os.walk(source, followlinks=True):
        here = PurePosixPath(Path(root).relative_to(source).as_posix())
        folders += [here / name for name in names]
        files += [here / name for name in found]
        if len(here.parts) >= _MAX_DEPTH:
            names.clear()
    return plan_layout(files, folders)


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


def generate_images(settings: GeneratedSet, target: Path) -> Iterator[Path]:
    """Draws the demo set below `target`, yielding each picture's path."""
    for label in CLASSES:
        (target / label).mkdir()
        for number in range(settings.images_per_class):
            path = target / label / f"{label}_{number:04d}.jpg"
            Image.fromarray(draw_rock(label, settings.seed, number, settings.size)).save(path, quality=92)
            yield path


def _destinations(layout: Layout, target: Path) -> dict[PurePosixPath, Path]:
    """Makes the class folders and gives the path of every image in them."""
    for label in {key.parts[0] for key in layout.images.values()}:
        (target / label).mkdir()
    return {path: target / key for path, key in layout.images.items()}
