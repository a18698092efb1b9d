"""Searching what is published in LanceDB: one version of it, with no embedding in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.index.parts import Parts
from similarity.index.vector_stores import Index
from similarity.published.connection import Table, one_line_errors, open_table
from similarity.published.writing import clusters_of, quoted
from similarity.vectors import COSINE_DECIMALS

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no type information

_FILTERS = ("label", "split")
_FEWEST_CLUSTERS, _CLUSTERS_PER_ONE_LOOKED_AT = 20, 10
_SPARE = 6  # candidates beyond those wanted, among which cosines that are nearly equal are put in order
_ROUNDING = 3 * 10**-COSINE_DECIMALS  # by which LanceDB's cosines differ at most from the true ones, rounded
_FEW = 2000  # embeddings that are fetched and compared rather than searched
_GROWTH = 4  # of the candidates, when there were too few


class Column(NamedTuple):
    """A column by which LanceDB can filter: its distinct values, and the place of each row's among them, int64 (N,)."""

    values: list[str]
    places: np.ndarray


class Condition(NamedTuple):
    """What LanceDB can filter by, in SQL if it is anything, and how many rows that leaves."""

    sql: str | None
    rows: int


class Candidates(NamedTuple):
    """Rows, int64 (n,), their embeddings, float32 (n, E), and what the products of all others with a query reach."""

    rows: np.ndarray
    units: np.ndarray
    bound: float


@dataclass(frozen=True)
class PublishedStore:
    """A version of what is published, as a `VectorStore`.

    Attributes:
        uri: of the database.
        table: at that version.
        parts: what an embedding is made of.
        row_ids: LanceDB's numbers of the rows, int64 (N,).
        columns: what can be filtered by, by name.
    """

    uri: str
    table: Table
    parts: Parts
    row_ids: np.ndarray
    columns: dict[str, Column]

    backend: Index = "lancedb"
    default: Index = "lancedb"
    search_k: int | None = None

    def __len__(self) -> int:
        return len(self.row_ids)

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        wanted = np.atleast_1d(np.asarray(rows, np.int64))
        ids, places = np.unique(self.row_ids[wanted], return_inverse=True)
        if len(ids) == 0:
            return np.empty((0, self.parts.size), np.float32)
        with one_line_errors(self.uri):
            fetched = self.table.take_row_ids(ids.tolist()).select(["embedding"]).with_row_id().to_arrow()
        units = _embeddings(fetched)[np.argsort(fetched["_rowid"].to_numpy())][places]
        return units[0] if np.ndim(rows) == 0 else units

    def nearest(
        self,
        unit: np.ndarray,
        count: int,
        exact: bool,
        look: float | None = None,
        allowed: np.ndarray | None = None,
        excluded: Sequence[int] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        query = unit if look is None else self.parts.weigh(unit, look)
        given = np.ones(len(self), bool) if allowed is None else allowed.copy()
        given[list(excluded)] = False
        rows = np.flatnonzero(given)
        if not query.any():
            return rows[:count], np.zeros(count)
        if len(rows) <= max(_FEW, count):
            return _best(query, rows, self._restore(self[rows], look), count)
        condition = self._condition(None if allowed is None else rows)
        asked = (count + len(excluded) + _SPARE) * max(1, condition.rows // len(rows))
        by_clusters = not exact and allowed is None
        while True:
            found = self._search(query, asked, by_clusters, condition)
            kept = given[found.rows]
            rows, cosines = _best(query, found.rows[kept], self._restore(found.units[kept], look), count)
            bound = found.bound if look is None else max(found.bound, 0)  # `restore` shortens some
            is_sure = len(rows) == count and cosines[-1] - bound >= _ROUNDING
            is_all = len(found.rows) == (len(self) if by_clusters else condition.rows)
            if is_sure or is_all or (by_clusters and len(rows) == count and len(found.rows) < asked):
                return rows, cosines
            by_clusters = by_clusters and len(found.rows) == asked  # else those that are looked at hold no more
            asked = min(_GROWTH * asked, condition.rows)

    def _restore(self, units: np.ndarray, look: float | None) -> np.ndarray:
        return units if look is None else self.parts.restore(units)

    def _condition(self, rows: np.ndarray | None) -> Condition:
        """What some rows have in common: the values of columns that are the same for all of them."""
        if rows is None:
            return Condition(None, len(self))
        terms, matching = [], np.ones(len(self), bool)
        for name, column in self.columns.items():
            place = column.places[rows[0]]
            if (column.places[rows] == place).all():
                terms.append(f"{name} = {quoted(column.values[place])}")
                matching &= column.places == place
        return Condition(" AND ".join(terms) or None, int(np.count_nonzero(matching)))

    def _search(self, query: np.ndarray, count: int, by_clusters: bool, condition: Condition) -> Candidates:
        with one_line_errors(self.uri):
            search = self.table.search(query, vector_column_name="embedding").distance_type("dot").limit(count)
            search = search.nprobes(self._clusters_looked_at) if by_clusters else search.bypass_vector_index()
            if condition.sql:
                search = search.where(condition.sql, prefilter=True)
            found = search.select(["embedding", "_distance"]).with_row_id(True).to_arrow()
        rows = self._order[np.searchsorted(self.row_ids, found["_rowid"].to_numpy(), sorter=self._order)]
        bound = 1 - max(found["_distance"].to_numpy(), default=0)
        return Candidates(rows, _embeddings(found), float(bound))

    @property
    def _clusters_looked_at(self) -> int:
        return max(_FEWEST_CLUSTERS, clusters_of(len(self)) // _CLUSTERS_PER_ONE_LOOKED_AT)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.row_ids)


def open_tag(uri: str, tag: str, keys: Sequence[str], parts: Parts) -> PublishedStore:
    """Opens the version that a tag names by now; what is written later is not seen.

    Args:
        uri: of the database.
        tag: the version's.
        keys: those that it must hold, sorted; row i of the store is the i-th.
        parts: what an embedding is made of.

    Raises:
        UserError: LanceDB is not installed or cannot read there, there is no such tag, or it holds other keys.
    """
    table = open_table(uri, parts.size)
    with one_line_errors(uri):
        version = None if table is None else table.tags.list().get(tag, {}).get("version")
    if version is None:
        raise UserError(f"nothing is published under {tag} at {uri}: run `python src/publish.py --to {uri}`")
    return open_version(uri, version, keys, parts)


def open_version(uri: str, version: int, keys: Sequence[str], parts: Parts) -> PublishedStore:
    """Opens a version by its number; see `open_tag`."""
    table = open_table(uri, parts.size)
    assert table is not None
    with one_line_errors(uri):
        table.checkout(version)
        stored = table.search().select(["key", *_FILTERS]).with_row_id(True).to_arrow().sort_by("key")
    if stored["key"].to_pylist() != list(keys):
        raise UserError(f"version {version} at {uri} holds other images: run `python src/publish.py --to {uri}`")
    row_ids = stored["_rowid"].to_numpy().astype(np.int64)
    return PublishedStore(uri, table, parts, row_ids, {name: _as_column(stored[name]) for name in _FILTERS})


def _as_column(values: "pa.ChunkedArray") -> Column:
    encoded = values.combine_chunks().dictionary_encode()
    return Column(encoded.dictionary.to_pylist(), encoded.indices.to_numpy())


def _embeddings(fetched: "pa.Table") -> np.ndarray:
    """The embeddings of some rows, float32 (n, E)."""
    column = fetched["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def _best(query: np.ndarray, rows: np.ndarray, vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of some rows whose vectors are most similar to a query, at most `count`; ties go by row."""
    cosines = (vectors.astype(np.float64) @ query).round(COSINE_DECIMALS) + 0.0
    order = np.lexsort((rows, -cosines))[:count]
    return rows[order], cosines[order]
