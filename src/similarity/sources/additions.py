"""Images that are added to a data set later: found in folders, kept in one, and put among the others in the end."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from similarity.dataset.change_list import Changes
from similarity.dataset.manifest import ImageRecord
from similarity.digests import digest_file
from similarity.errors import DataError, UserError
from similarity.images.decoding import UnreadableImageError, decode_image
from similarity.parallel import ordered_map
from similarity.sources.class_folders import Choices, LeftOut, list_folder

_SIDE = 112  # pixels, that an image is decoded to in order to see whether it can be


class Found(NamedTuple):
    """What is in some folders.

    Attributes:
        files: the readable images' paths, by their keys.
        records: of these, by their keys.
        rejected: the others, with the reason.
        left_out: what is no image by its name.
    """

    files: dict[str, Path]
    records: dict[str, ImageRecord]
    rejected: list[LeftOut]
    left_out: list[LeftOut]


def find_images(
    folders: Iterable[Path],
    choices: Choices,
    progress: Callable[[Iterable, int], Iterable] = lambda items, _: items,
) -> Found:
    """Looks at all images in folders of class folders; keys are given as they are to those of a source.

    Args:
        folders: each as `data.source` may be; splits that one gives are of no account.
        choices: how they are to be understood.
        progress: wraps the iteration over images; gets their number.

    Raises:
        UserError: as `list_folder`.
        DataError: two images of these folders have the same key, and are not the same.
    """
    paths: list[tuple[str, Path]] = []
    found, problems = Found({}, {}, [], []), []
    for folder in folders:
        layout = list_folder(folder, choices)
        found.left_out.extend(layout.left_out)
        paths += [(key.as_posix(), folder / path) for path, key in layout.images.items()]
    looked = ordered_map(lambda each: _look_at(*each), paths)
    for (key, path), result in zip(paths, progress(looked, len(paths)), strict=True):
        if isinstance(result, LeftOut):
            found.rejected.append(result)
        elif key in found.records and found.records[key].sha256 != result.sha256:
            problems.append(f"{path} and {found.files[key]} would both be {key}")
        else:
            found.files[key], found.records[key] = path, result
    if problems:
        raise DataError(problems, "rename one of each")
    return found


def _look_at(key: str, path: Path) -> ImageRecord | LeftOut:
    try:
        content = path.read_bytes()
        decoded = decode_image(content, _SIDE)
    except UnreadableImageError as error:
        return LeftOut(str(path), str(error))
    except FileNotFoundError as error:
        raise UserError(f"{path} is a link to nothing, or was just removed: correct the folder") from error
    return ImageRecord(key, key.split("/")[0], sha256(content).hexdigest(), decoded.width, decoded.height)


@contextmanager
def added_files(files: Mapping[str, Path], records: Mapping[str, ImageRecord], target: Path) -> Iterator[None]:
    """Copies images to ``target/<key>``, and takes the copies away again if the block ends with an error.

    Raises:
        UserError: one is no longer what it was when it was looked at.
        OSError: there is no room.
    """
    made: list[Path] = []
    try:
        for key, path in files.items():
            place = target / key
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(f".new.{os.getpid()}.{place.name}")
            made.append(temporary)
            shutil.copyfile(path, temporary)
            if digest_file(temporary) != records[key].sha256:
                raise UserError(f"{path} was changed while it was added: nothing was added, run this again")
            temporary.rename(place)
            made[-1] = place
        os.sync()
        yield
    except BaseException:
        remove_files(made)
        with suppress(OSError):  # there are others in it, or it is not there
            target.rmdir()
        raise


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files, those that there are, and the folders that this leaves empty."""
    for path in paths:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # there are others in it
            path.parent.rmdir()


def change_folder(images: Path, changes: Changes, added: Path) -> None:
    """Removes and adds images in a folder of class folders.

    Args:
        images: the folder.
        changes: what to do; what is not there need not be removed.
        added: the folder of the files that are added, by the same keys.

    Raises:
        UserError: a file of these is missing or another one.
        DataError: another image has the name of one that is added.
    """
    for key, digest in changes.removed.items():
        if (images / key).exists() and digest_file(images / key) == digest:
            remove_files([images / key])
    taken = []
    for key, record in changes.added.items():
        place = images / key
        if place.exists():
            taken += [key] * (digest_file(place) != record.sha256)
            continue
        if not (added / key).exists() or digest_file(added / key) != record.sha256:
            raise UserError(f"{added / key} is not there, or not what was added: run `dvc checkout`, or `dvc pull`")
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(added / key, place)
    if taken:
        raise DataError(
            [f"{key} was added, but the source has another image by this name" for key in taken],
            "rename the one in the source",
        )
