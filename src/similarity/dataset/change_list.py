"""Images that were added to a data set and removed from it, and the data set that this gives."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import ImageRecord, Manifest
from similarity.errors import DataError, UserError
from similarity.files import read_table, write_table

_COLUMNS = ("change", "path", "sha256", "width", "height")
_ADD, _REMOVE = "add", "remove"


class Changes(NamedTuple):
    """Images by their keys. One that is in both was exchanged for another of the same name.

    Attributes:
        added: with what they are.
        removed: with the SHA-256 of what was removed: another image that comes by the same name stays.
    """

    added: dict[str, ImageRecord]
    removed: dict[str, str]


class ChangedSet(NamedTuple):
    """A data set after changes.

    Attributes:
        manifest: its images.
        origins: the row that each had before, int64 (n,), ascending; −1 for what was added.
    """

    manifest: Manifest
    origins: np.ndarray


def apply_changes(manifest: Manifest, changes: Changes) -> ChangedSet:
    """Removes and adds images. What is there already is not added again, what is not there is not removed.

    Raises:
        DataError: images are to be added by the name of others that stay.
    """
    origin_of = {
        record.path: row
        for row, record in enumerate(manifest.records)
        if changes.removed.get(record.path) != record.sha256
    }
    records = {path: manifest.records[row] for path, row in origin_of.items()}
    taken = [path for path, new in changes.added.items() if path in records and records[path].sha256 != new.sha256]
    if taken:
        raise DataError(
            [f"{path} is to be added, but the data set has another image by this name" for path in taken],
            "rename one of them, or remove the one that is there",
        )
    records |= changes.added
    keys = sorted(records)
    return ChangedSet(
        Manifest([records[key] for key in keys]), np.array([origin_of.get(key, -1) for key in keys], np.int64)
    )


def combine_changes(first: Changes, second: Changes) -> Changes:
    """What two lists of changes, one after the other, come to; an image that is added and then removed is in neither.

    Raises:
        DataError: as `apply_changes`.
    """
    added, removed = dict(first.added), dict(first.removed)
    for path, digest in second.removed.items():
        if path in added and added[path].sha256 == digest:
            del added[path]
        else:
            removed[path] = digest
    apply_changes(Manifest(list(added.values())), Changes(second.added, {}))
    return Changes(added | second.added, removed)


def needed_changes(manifest: Manifest, changes: Changes) -> Changes:
    """Those of some changes that make a difference to a data set."""
    digests = {record.path: record.sha256 for record in manifest.records}
    added = {path: record for path, record in changes.added.items() if digests.get(path) != record.sha256}
    kept = {path for path, record in changes.added.items() if path not in added}
    return Changes(
        added,
        {path: digest for path, digest in changes.removed.items() if digests.get(path) == digest and path not in kept},
    )


def write_changes(path: Path, changes: Changes) -> None:
    """Writes changes as CSV, sorted by key."""
    write_table(path, _COLUMNS, _rows(changes))


def _rows(changes: Changes) -> Iterator[Sequence[object]]:
    yield from ((_REMOVE, path, digest, "", "") for path, digest in sorted(changes.removed.items()))
    for path, record in sorted(changes.added.items()):
        yield _ADD, path, record.sha256, record.width, record.height


def read_changes(path: Path) -> Changes:
    """Reads what `write_changes` wrote.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it is something else.
    """
    changes = Changes({}, {})
    for change, key, digest, width, height in read_table(path, _COLUMNS):
        if change == _REMOVE:
            changes.removed[key] = digest
        elif change == _ADD and width.isdecimal() and height.isdecimal():
            changes.added[key] = ImageRecord(key, key.split("/")[0], digest, int(width), int(height))
        else:
            raise UserError(f"{path} is damaged at {key!r}: run `git checkout HEAD -- {path}`")
    return changes
