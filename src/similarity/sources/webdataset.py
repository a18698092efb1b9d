"""Samples in tar shards, as webdataset has them: the class of ``0001.jpg`` is in ``0001.cls`` or in ``0001.json``."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import orjson

from similarity.images.decoding import IMAGE_SUFFIXES
from similarity.sources.archives import Archive
from similarity.sources.folders import list_tree
from similarity.sources.label_tables import Entry, LabelTable, make_label_table
from similarity.sources.split_names import split_of_name

_CLASS, _FACTS = ".cls", ".json"
_LABELS = ("label", "class", "cls")  # in the facts
_MOST_BYTES = 1_000_000  # of a class or of facts
_WORDS = re.compile("[-_.]")


class Samples(NamedTuple):
    """The classes of images in shards, and the files that these are from."""

    table: LabelTable
    files: frozenset[PurePosixPath]


def list_shards(source: Path) -> list[Path]:
    """The tar files in a folder that has no images outside of them, sorted; else none."""
    shards = sorted(path for path in source.glob("*.tar") if path.is_file())
    if not shards or any(path.suffix.lower() in IMAGE_SUFFIXES for path in list_tree(source).files):
        return []
    return shards


def read_samples(shards: Iterable[tuple[Path, Archive]], column: str | None) -> Samples | None:
    """Reads the classes of images in tar files.

    Images with the same path up to the first dot of their name are of one sample. If every shard's name says of one
    split, as in ``imagenet-train-000000.tar``, so do the samples.

    Args:
        shards: the open files, by their paths.
        column: which of the facts is the class; if None, ``label``, ``class`` or ``cls``, unless there is a ``.cls``.

    Returns:
        None if there are no classes beside the images.

    Raises:
        DataError: classes are wrong; it names all.
    """
    entries, files, splits = list[Entry](), set[PurePosixPath](), list[str | None]()
    for path, archive in shards:
        split = _split_of_shard(path)
        splits.append(split)
        images, named = _images_by_sample(archive)
        for file, label in _read_labels(archive, named, column):
            files.add(file)
            place = f"{path.name}, {file}"
            entries += [Entry(place, str(image), label, split or "") for image in images[_sample(file)]]
    if not entries:
        return None
    table = make_label_table("the shards", _without_repetition(entries), has_splits=None not in splits)
    return Samples(table, frozenset(files))


def _images_by_sample(archive: Archive) -> tuple[dict[PurePosixPath, list[PurePosixPath]], set[PurePosixPath]]:
    """The images of each sample, and the files beside images that may have their class."""
    paths = [member.path for member in archive.members() if not member.is_folder]
    images = defaultdict[PurePosixPath, list[PurePosixPath]](list)
    for path in paths:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images[_sample(path)].append(path)
    return images, {path for path in paths if path.suffix.lower() in {_CLASS, _FACTS} and _sample(path) in images}


def _read_labels(
    archive: Archive, named: set[PurePosixPath], column: str | None
) -> Iterator[tuple[PurePosixPath, str]]:
    for path, content in archive.contents() if named else ():
        if path in named:
            label = _read_label(path, content, column)
            if label is not None:
                yield path, label


def _read_label(path: PurePosixPath, content: BinaryIO, column: str | None) -> str | None:
    """The class that a file names, if it names one."""
    text = content.read(_MOST_BYTES)
    if path.suffix.lower() == _CLASS:
        return text.decode("utf-8", "replace").strip() if column in {None, "cls"} else None
    try:
        facts = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(facts, dict):
        return None
    names = _LABELS if column is None else (column,)
    return next((str(facts[name]).strip() for name in names if isinstance(facts.get(name), str | int)), None)


def _without_repetition(entries: list[Entry]) -> list[Entry]:
    """The first entry of each image and class: a sample may have its class in both kinds of file."""
    return list({(entry.path, entry.label): entry for entry in reversed(entries)}.values())[::-1]


def _sample(path: PurePosixPath) -> PurePosixPath:
    return path.parent / path.name.split(".", 1)[0]


def _split_of_shard(path: Path) -> str | None:
    found = {split for word in _WORDS.split(path.stem) if (split := split_of_name(word))}
    return found.pop() if len(found) == 1 else None
