"""Publishing a gallery to LanceDB, and searching it there: one table per run, no embedding in memory."""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similarity.data.dataset.manifest import SPLIT_NAMES, ImageRecord, Manifest
from similarity.data.vectors import COSINE_DECIMALS, SPARE
from similarity.engine.dvc_lock import DvcLock
from similarity.engine.gallery import Gallery
from similarity.engine.stores import Index, Parts
from similarity.errors import UserError, one_line
from similarity.finding import Finding
from similarity.layout import EMBEDDER, EMBEDDINGS, MANIFEST, SPLITS

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no type information

VARIABLE = "SIMILARITY_URI"
_FEWEST_INDEXED = 1000  # rows; fewer are compared one by one in a millisecond
_ROWS_PER_BATCH = 20_000
_FOREVER = timedelta(days=36500)  # versions are kept, as a service may have one open
_FEWEST_CLUSTERS, _SEARCHED_CLUSTERS = 20, 0.1  # of all, if that is more
_FEW = 2000  # embeddings that are fetched and compared rather than searched
_MOST_EXCLUDED = 100  # images that a query leaves out; if more are, the index might find few of the others
_GROWTH = 4  # of the number of candidates, if there were too few


class Row(NamedTuple):
    """An image as it is published: its record, split ("" for none), file if it is not in the project, and embedding."""

    record: ImageRecord
    split: str
    file: str
    embedding: np.ndarray


def table_of(lock: DvcLock) -> str:
    """Return the name of a run's table, by the outputs that are published."""
    md5s = [lock.md5(path) for path in (MANIFEST, SPLITS, EMBEDDER, EMBEDDINGS)]
    return f"run-{sha256(' '.join(md5s).encode()).hexdigest()[:16]}"


def publish(uri: str, name: str, rows: Iterable[Row], size: int) -> None:
    """Write a table with embeddings of length `size` to a folder or bucket, in the place of one with the same name."""
    with _one_line_errors(uri):
        schema = _schema(size)
        table = _connect(uri).create_table(name, _batches(rows, schema), schema=schema, mode="overwrite")
        if (count := table.count_rows()) >= _FEWEST_INDEXED:
            from lancedb.index import IvfFlat

            table.create_index("embedding", config=IvfFlat(distance_type="dot", num_partitions=round(count**0.5)))


def add(uri: str, name: str, rows: Iterable[Row], size: int) -> int:
    """Write rows to an existing table, in the place of those with the same keys; return how many it has then."""
    table = _open_table(uri, name)
    with _one_line_errors(uri):
        for batch in _batches(rows, _schema(size)):
            table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(batch)
        table.optimize(cleanup_older_than=_FOREVER)  # which indexes the new rows
        return table.count_rows()


def open_table(uri: str, name: str, parts: Parts, findings: Sequence[Finding] | None = None) -> Gallery:
    """Open the latest version of a table as a gallery, without embeddings; if there is none, raise a `UserError`."""
    if not uri:
        raise UserError(f"--index lancedb: set {VARIABLE} to what `python src/publish.py --to` was given")
    table, names = _open_table(uri, name), ["key", *ImageRecord._fields[1:], "split", "file"]
    with _one_line_errors(uri):
        table.checkout(table.version)
        stored = table.search().select(names).with_row_id(True).to_arrow().sort_by("key")
    *facts, splits, files = (stored[name].to_pylist() for name in names)
    manifest = Manifest([ImageRecord(*each) for each in zip(*facts, strict=True)])
    places = np.array([SPLIT_NAMES.index(split) if split else -1 for split in splits], np.int8)
    store = PublishedStore(uri, table, parts, manifest.keys, stored["_rowid"].to_numpy().astype(np.int64))
    added = {key: Path(file) for key, file in zip(manifest.keys, files, strict=True) if file}
    return Gallery(manifest, store, places, findings, added)


@dataclass
class PublishedStore:
    """A version of a table, as an `InMemoryStore`; `row_ids` has LanceDB's number of each row, int64 (N,)."""

    uri: str
    table: Any  # of LanceDB, whose type information lacks half of what is in it
    parts: Parts
    keys: Sequence[str]
    row_ids: np.ndarray
    backend: Index = "lancedb"

    def __len__(self) -> int:
        return len(self.row_ids)

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        ids, places = np.unique(self.row_ids[np.atleast_1d(np.asarray(rows, np.int64))], return_inverse=True)
        if len(ids) == 0:
            return np.empty((0, self.parts.size), np.float32)
        with _one_line_errors(self.uri):
            fetched = self.table.take_row_ids(ids.tolist()).select(["embedding"]).with_row_id().to_arrow()
        units = self._units(fetched)[np.argsort(fetched["_rowid"].to_numpy())][places]
        return units[0] if np.ndim(rows) == 0 else units

    def nearest(
        self, unit: np.ndarray, count: int, exact: bool, look: float | None = None, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        query = unit if look is None else self.parts.weigh(unit, look)
        given = np.ones(len(self), bool) if allowed is None else allowed
        rows = np.flatnonzero(given)
        if not query.any():
            return rows[:count], np.zeros(count)
        if len(rows) <= max(_FEW, count):
            return self._best(query, rows, self[rows], look, count)
        by_clusters, asked = not exact and len(self) - len(rows) <= _MOST_EXCLUDED, count + SPARE
        while True:
            with _one_line_errors(self.uri):
                search = self.table.search(query, vector_column_name="embedding").distance_type("dot")
                clusters = max(_FEWEST_CLUSTERS, int(_SEARCHED_CLUSTERS * len(self) ** 0.5))
                search = search.nprobes(clusters) if by_clusters else search.bypass_vector_index()
                found = search.limit(asked * len(self) // len(rows)).select(["key", "embedding"]).to_arrow()
            places = np.array([bisect_left(self.keys, key) for key in found["key"].to_pylist()], np.int64)
            is_allowed = given[places]
            if np.count_nonzero(is_allowed) >= min(asked, len(rows)):
                return self._best(query, places[is_allowed], self._units(found)[is_allowed], look, count)
            by_clusters, asked = False, min(_GROWTH * asked, len(rows))

    def _best(
        self, query: np.ndarray, rows: np.ndarray, units: np.ndarray, look: float | None, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sort rows by their true cosines."""
        vectors = units if look is None else self.parts.restore(units)
        cosines = (vectors.astype(np.float64) @ query).round(COSINE_DECIMALS) + 0.0
        order = np.lexsort((rows, -cosines))[:count]
        return rows[order], cosines[order]

    def _units(self, fetched: "pa.Table") -> np.ndarray:
        return fetched["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, self.parts.size)


def _schema(size: int) -> "pa.Schema":
    import pyarrow as pa

    types = dict.fromkeys(("key", "label", "sha256"), pa.string()) | dict.fromkeys(("width", "height"), pa.int32())
    types |= {"split": pa.string(), "file": pa.string(), "embedding": pa.list_(pa.float32(), size)}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def _batches(rows: Iterable[Row], schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    waiting = iter(rows)
    while batch := list(islice(waiting, _ROWS_PER_BATCH)):
        columns = zip(*((*row.record, *row[1:]) for row in batch), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _connect(uri: str) -> Any:
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns about every empty cluster
    try:
        import lancedb
    except ImportError as error:
        raise UserError(f"lancedb is not installed ({error}): run `pip install 'lancedb>=0.40,<0.41'`") from error
    return lancedb.connect(uri)


def _open_table(uri: str, name: str) -> Any:
    try:
        if "://" not in uri and not Path(uri).is_dir():  # LanceDB would create it
            raise FileNotFoundError("there is no such folder")
        return _connect(uri).open_table(name)
    except (RuntimeError, ValueError, OSError) as error:
        reason = f"{name} cannot be opened at {uri} ({one_line(error)})"
        is_missing = isinstance(error, FileNotFoundError) or f"'{name}' was not found" in str(error)
        check = "check the address, the network, and that your credentials allow it"
        raise UserError(f"{reason}: {f'run `python src/publish.py --to {uri}`' if is_missing else check}") from error


@contextmanager
def _one_line_errors(uri: str) -> Iterator[None]:
    """Turn an error of LanceDB into one of one line."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:  # most are long
        raise UserError(f"{uri}: {one_line(error)}") from error
