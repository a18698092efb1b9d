"""Samples in tar shards, as webdataset has them: the class of ``0001.jpg`` is in ``0001.cls`` or in ``0001.json``."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import orjson

from similarity.data.images.formats import IMAGE_SUFFIXES
from similarity.data.sources.folders import list_files, split_of_name
from similarity.data.sources.label_tables import Entry, LabelTable

_CLASS, _FACTS = ".cls", ".json"
_LABELS = ("label", "class", "cls")  # in the facts
_MOST_BYTES = 1_000_000  # of a class or of facts
_WORDS = re.compile("[-_.]")


def list_shards(source: Path) -> list[Path]:
    """List the tar files in a folder, sorted; none if there are images outside of them."""
    shards = sorted(path for path in source.glob("*.tar") if path.is_file())
    if not shards or any(path.suffix.lower() in IMAGE_SUFFIXES for path in list_files(source)):
        return []
    return shards


def read_samples(
    source: Path, shards: Mapping[PurePosixPath, Path], column: str | None
) -> tuple[LabelTable, set[PurePosixPath]] | None:
    """Read the classes of images from unpacked tar files; return the files that these are from as well.

    Images with the same path up to the first dot of their name are one sample. If every shard's name contains a split
    name, as in ``imagenet-train-000000.tar``, the samples have these splits.

    Files are known by their path below the folder that they were unpacked to. `column` is the one of the facts that is
    the class; if None, ``label``, ``class`` or ``cls``, unless there is a ``.cls``. Without any class, return None.
    """
    images = defaultdict[PurePosixPath, list[PurePosixPath]](list)
    for path in shards:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images[_sample(path)].append(path)
    entries, files = dict[tuple[PurePosixPath, str], Entry](), set[PurePosixPath]()
    for path, shard in shards.items():
        if path.suffix.lower() in {_CLASS, _FACTS} and (label := _read_label(source / path, column)) is not None:
            for image in images.get(_sample(path), ()):  # a sample may have its class in both kinds of file
                entry = Entry(f"{shard.name}, {path}", str(image), label, _split_of_shard(shard) or "")
                entries.setdefault((image, label), entry)
                files.add(path)
    if not entries:
        return None
    return LabelTable("the shards", list(entries.values()), all(map(_split_of_shard, set(shards.values())))), files


def _read_label(path: Path, column: str | None) -> str | None:
    """Return the class that a file names, if it names one."""
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES)
    if path.suffix.lower() == _CLASS:
        return text.decode("utf-8", "replace").strip() if column in {None, "cls"} else None
    try:
        facts = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    names = _LABELS if column is None else (column,)
    found = [facts[name] for name in names if isinstance(facts, dict) and isinstance(facts.get(name), str | int)]
    return str(found[0]).strip() if found else None


def _sample(path: PurePosixPath) -> PurePosixPath:
    return path.parent / path.name.split(".", 1)[0]


def _split_of_shard(path: Path) -> str | None:
    found = {split for word in _WORDS.split(path.stem) if (split := split_of_name(word))}
    return found.pop() if len(found) == 1 else None
