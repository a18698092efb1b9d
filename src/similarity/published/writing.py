"""Bringing a table of LanceDB to what a run found, and marking the version that is whole with a tag."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.published.connection import Table, connect, one_line_errors, open_table, table_name
from similarity.vectors import normalize, row_blocks

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no type information

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Wraps an iteration that has a name and a number of images, and that gives their numbers."""

FEWEST_INDEXED = 1000  # rows; fewer are compared one by one in a millisecond
_DIGEST_SIZE = 16
_ROWS_PER_BATCH = 20_000
_ATTEMPTS = 10
_LONGEST_WAIT = 300  # seconds
_FOREVER = timedelta(days=36500)
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
"""Has LanceDB refuse a change beside which another writer inserts the same keys; they would be there twice."""


class PublishedRows(NamedTuple):
    """What is published: a row per image.

    Attributes:
        keys: of the images, N of them, sorted.
        labels: their classes.
        splits: train, valid or test.
        embeddings: float32 (N, E), of any length; may be mapped from a file.
    """

    keys: Sequence[str]
    labels: Sequence[str]
    splits: Sequence[str]
    embeddings: np.ndarray


class Changes(NamedTuple):
    """What a table lacks to be what is published: rows to write, int64 (n,), and keys to delete."""

    rows: np.ndarray
    gone: list[str]


class Written(NamedTuple):
    """A version of a table that holds what is published, and how many rows were written and deleted for it."""

    version: int
    written: int
    deleted: int


def write_rows(uri: str, rows: PublishedRows, progress: Progress) -> Written:
    """Brings the table to some rows and indexes them, in as many versions as that takes; the last one is whole.

    What is there already is not written again, so a run that was killed goes on where it was. Another writer may be at
    work at the same time: a version counts only if it was read after the last change, and holds these rows alone.

    Raises:
        UserError: LanceDB is not installed or cannot write there, or others keep on changing the table.
    """
    table = _open_for_writing(uri, rows.embeddings.shape[1])
    digests = list(progress(_digests(rows), "digests", len(rows.keys)))
    written, deleted, seconds = 0, 0, 0.0
    for attempt in range(_ATTEMPTS):
        with one_line_errors(uri), _conflicts_suppressed():
            table.checkout_latest()
            changes = _compare(table, rows.keys, digests)
            if not (len(changes.rows) or changes.gone or _missing_indexes(table)):
                return Written(table.version, written, deleted)
            if attempt % 2:  # another writer has changed what was just written: whoever waits longer lets it finish
                time.sleep(random.uniform(0, min(attempt * seconds, _LONGEST_WAIT)))  # noqa: S311  # no secret
                continue
            start = time.monotonic()
            written, deleted = written + len(changes.rows), deleted + len(changes.gone)
            _change(table, rows, digests, changes, progress)
            _index(table)
            seconds = time.monotonic() - start
    raise UserError(f"{uri}: others keep on writing there: run this again when they are done")


@contextmanager
def _conflicts_suppressed() -> Iterator[None]:
    """Leaves the block where another writer was faster, of which LanceDB tells by the text of an error alone."""
    try:
        yield
    except RuntimeError as error:
        if "conflict" not in str(error):
            raise


def move_tag(uri: str, size: int, tag: str, version: int) -> None:
    """Has a tag name a version, whatever it named before.

    Raises:
        UserError: LanceDB cannot write there.
    """
    table = open_table(uri, size)
    assert table is not None
    with one_line_errors(uri):
        if tag in table.tags.list():
            table.tags.update(tag, version)
        else:
            table.tags.create(tag, version)


def _open_for_writing(uri: str, size: int) -> Table:
    """Opens the table, or makes it."""
    table = open_table(uri, size)
    if table is None:
        database = connect(uri)
        with one_line_errors(uri):
            table = database.create_table(table_name(size), schema=_schema(size), exist_ok=True)
    return table


def _schema(size: int) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("label", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), size), nullable=False),
            pa.field("digest", pa.binary(_DIGEST_SIZE), nullable=False),
        ]
    )


def _digests(rows: PublishedRows) -> Iterator[bytes]:
    """A digest of all that is published of each image, by which a change is seen without reading embeddings back."""
    described = zip(rows.labels, rows.splits, strict=True)
    for block in row_blocks(rows.embeddings):
        for unit, (label, split) in zip(normalize(block), described, strict=False):
            yield blake2b(unit.tobytes() + f"{label}\n{split}".encode(), digest_size=_DIGEST_SIZE).digest()


def _compare(table: Table, keys: Sequence[str], digests: Sequence[bytes]) -> Changes:
    stored = table.search().select(["key", "digest"]).to_arrow()
    found = dict(zip(stored["key"].to_pylist(), stored["digest"].to_pylist(), strict=True))
    gone = found.keys() - set(keys)
    if len(found) < stored.num_rows:  # by a writer without the primary key
        repeated = {key for key, times in Counter(stored["key"].to_pylist()).items() if times > 1}
        gone, found = gone | repeated, {key: digest for key, digest in found.items() if key not in repeated}
    rows = [row for row, (key, digest) in enumerate(zip(keys, digests, strict=True)) if found.get(key) != digest]
    return Changes(np.array(rows, np.int64), sorted(gone))


def _change(table: Table, rows: PublishedRows, digests: Sequence[bytes], changes: Changes, progress: Progress) -> None:
    gone = iter(changes.gone)
    while keys := list(islice(gone, _ROWS_PER_BATCH)):
        table.delete(f"key IN ({', '.join(map(quoted, keys))})")
    waiting = iter(progress(changes.rows.tolist(), "publish", len(changes.rows)))
    while batch := list(islice(waiting, _ROWS_PER_BATCH)):
        merge = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(_as_table(rows, digests, batch))
    # Cleaning up would fail as soon as a tagged version is older than a week.
    table.optimize(cleanup_older_than=_FOREVER)


def _as_table(rows: PublishedRows, digests: Sequence[bytes], batch: Sequence[int]) -> "pa.Table":
    import pyarrow as pa

    size = rows.embeddings.shape[1]
    units = normalize(rows.embeddings[batch])
    columns = [
        *([values[row] for row in batch] for values in (rows.keys, rows.labels, rows.splits)),
        pa.FixedSizeListArray.from_arrays(pa.array(units.ravel()), size),
        [digests[row] for row in batch],
    ]
    schema = _schema(size)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def quoted(text: str) -> str:
    """A text as it is written in a condition of SQL."""
    return "'" + text.replace("'", "''") + "'"


def clusters_of(count: int) -> int:
    """How many clusters the vectors of a table with `count` rows are indexed by."""
    return round(count**0.5)


def _wanted_indexes(count: int) -> dict[str, Any]:
    """The indexes of a table with `count` rows, by column."""
    from lancedb.index import Bitmap, BTree, IvfFlat

    wanted: dict[str, Any] = {"key": BTree(), "label": Bitmap(), "split": Bitmap()}
    if count >= FEWEST_INDEXED:
        wanted["embedding"] = IvfFlat(distance_type="dot", num_partitions=clusters_of(count))
    return wanted


def _missing_indexes(table: Table) -> dict[str, Any]:
    whole = {index.columns[0] for index in table.list_indices() if index.num_unindexed_rows == 0}
    return {name: kind for name, kind in _wanted_indexes(table.count_rows()).items() if name not in whole}


def _index(table: Table) -> None:
    for column, kind in _missing_indexes(table).items():
        table.create_index(column, config=kind)
