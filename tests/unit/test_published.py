"""Publishing to LanceDB and searching there: what is found is what NumPy finds, and of one version."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import relu_clusters
from similarity.dataset.manifest import SPLIT_NAMES, ImageRecord, Manifest
from similarity.errors import UserError
from similarity.index.parts import Parts
from similarity.index.searcher import Searcher
from similarity.published import store, writing
from similarity.published.connection import open_table, table_name
from similarity.published.store import open_tag
from similarity.published.writing import PublishedRows, Written, move_tag, write_rows
from similarity.vectors import normalize

lancedb = pytest.importorskip("lancedb", reason="LanceDB is not installed")

SIZES = {"common": 4000, "it's rare": 7, "seldom": 60, "single": 1, "usual \\ 2": 2500}
PARTS = Parts(32, 20, 0.3)


def rows_of(sizes: dict[str, int], seed: int = 0) -> PublishedRows:
    labels = [label for label, size in sizes.items() for _ in range(size)]
    keys = [f"{label}/{i:05d}.jpg" for i, label in enumerate(labels)]
    splits = [SPLIT_NAMES[i % 3] for i in range(len(keys))]
    embeddings = relu_clusters(len(keys)) + np.float32(0.01 * seed)
    embeddings[0, :20] = embeddings[1, 20:] = embeddings[-2] = 0
    embeddings[10:14] = embeddings[5]  # ties
    return PublishedRows(keys, labels, splits, embeddings)


def silently(items: Iterable[Any], _: str, __: int) -> Iterable[Any]:
    return items


def publish(uri: str, rows: PublishedRows, tag: str = "run") -> Written:
    written = write_rows(uri, rows, silently)
    move_tag(uri, rows.embeddings.shape[1], tag, written.version)
    return written


def open_searcher(uri: str, rows: PublishedRows, tag: str = "run") -> Searcher:
    records = [ImageRecord(key, label, "0" * 64, 8, 8) for key, label in zip(rows.keys, rows.labels, strict=True)]
    return Searcher(Manifest(records), open_tag(uri, tag, rows.keys, PARTS))


ROWS = rows_of(SIZES)
UNITS = normalize(ROWS.embeddings)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("published"))
    publish(folder, ROWS)
    return folder


@pytest.fixture(scope="module")
def searcher(uri: str) -> Searcher:
    return open_searcher(uri, ROWS)


def expected(vectors: np.ndarray, query: np.ndarray, allowed: np.ndarray, count: int) -> tuple[list[int], list[float]]:
    """What NumPy finds: rows and cosines, ties by row."""
    rows = np.flatnonzero(allowed)
    cosines = (vectors[rows].astype(np.float64) @ query.astype(np.float64)).round(6) + 0.0
    order = np.lexsort((rows, -cosines))[:count]
    return rows[order].tolist(), cosines[order].tolist()


@given(
    row=st.integers(0, len(ROWS.keys) - 1),
    count=st.sampled_from([1, 5, 30, 100, 2600]),
    label=st.sampled_from([None, *SIZES]),
    split=st.sampled_from([None, *SPLIT_NAMES]),
    every=st.sampled_from([1, 1, 2, 50]),
    look=st.sampled_from([None, None, 0.0, 0.4, 1.0]),
    few=st.sampled_from([0, store._FEW]),  # LanceDB's filters are tried on rare classes, too
)
@settings(deadline=None, max_examples=150)
def test_whatever_is_allowed_as_many_are_found_as_there_are_and_those_that_numpy_finds(
    searcher: Searcher, row: int, count: int, label: str | None, split: str | None, every: int, look: float | None,
    few: int,
) -> None:  # fmt: skip
    allowed = np.arange(len(ROWS.keys)) % every == 0
    if split is not None:
        allowed &= np.array(ROWS.splits) == split
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_FEW", few)
        given_rows = None if every == 1 and split is None else allowed
        found = searcher.similar_to_row(row, count, label, "exact", look, given_rows)
    if label is not None:
        allowed &= np.array(ROWS.labels) == label
    allowed[row] = False
    query, vectors = (UNITS[row], UNITS) if look is None else (PARTS.weigh(UNITS[row], look), PARTS.restore(UNITS))
    rows, cosines = expected(vectors, query, allowed, count)
    assert len(rows) == min(count, np.count_nonzero(allowed)) == len(found.neighbors)
    assert [each.row for each in found.neighbors] == rows
    assert [each.cosine for each in found.neighbors] == cosines


def test_the_index_finds_nearly_all_neighbors_and_their_true_cosines(searcher: Searcher) -> None:
    hits, pairs = 0, 0
    for row in range(2, len(ROWS.keys), 97):
        found = searcher.similar_to_row(row, 10, index="lancedb")
        rows = [neighbor.row for neighbor in found.neighbors]
        cosines = [neighbor.cosine for neighbor in found.neighbors]
        allowed = np.arange(len(UNITS)) != row
        hits += sum(np.array(cosines) >= expected(UNITS, UNITS[row], allowed, 10)[1][-1])
        pairs += 10
        assert len(set(rows) - {row}) == 10
        assert cosines == (UNITS[rows].astype(np.float64) @ UNITS[row]).round(6).tolist()
        assert sorted(zip(-np.array(cosines), rows, strict=True)) == list(zip(-np.array(cosines), rows, strict=True))
    assert hits > 0.95 * pairs
    assert {each.columns[0] for each in open_table(searcher.vectors.uri, 32).list_indices()} >= {"embedding"}  # type: ignore[union-attr, attr-defined]  # a PublishedStore


def test_more_than_the_clusters_hold_is_found_by_comparing_all(searcher: Searcher) -> None:
    found = searcher.similar_to_row(5, len(UNITS) - 1, index="lancedb")
    assert {neighbor.row for neighbor in found.neighbors} == set(range(len(UNITS))) - {5}


def test_embeddings_are_fetched_in_the_order_in_which_they_are_asked_for(searcher: Searcher) -> None:
    rows = [4000, 3, 3, 6567, 0]
    np.testing.assert_array_equal(searcher.vectors[rows], UNITS[rows])
    np.testing.assert_array_equal(searcher.vectors[17], UNITS[17])
    assert searcher.vectors[[]].shape == (0, 32)


def test_threads_search_at_the_same_time(searcher: Searcher) -> None:
    def search(row: int) -> list[int]:
        return [neighbor.row for neighbor in searcher.similar_to_row(row, 5, "common", "exact").neighbors]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(search, range(100, 160))) == [search(row) for row in range(100, 160)]


SMALL = {"basalt": 30, "marble": 20}
FEW_ROWS = rows_of(SMALL)


def test_publishing_twice_writes_once(tmp_path: Path) -> None:
    assert publish(str(tmp_path), FEW_ROWS)[1:] == (50, 0)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = write_rows(str(tmp_path), FEW_ROWS, silently)
    assert again[1:] == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == files


def test_only_what_is_different_is_written_and_what_is_gone_is_deleted(tmp_path: Path) -> None:
    publish(str(tmp_path), FEW_ROWS)
    keys, labels, splits = (list(values[:40]) for values in FEW_ROWS[:3])
    keys[39], labels[3], splits[4] = "marble/new.jpg", "marble", "test" if splits[4] == "train" else "train"
    embeddings = FEW_ROWS.embeddings[:40].copy()
    embeddings[5, 0] += 1
    changed = PublishedRows(keys, labels, splits, embeddings)
    assert publish(str(tmp_path), changed, "other")[1:] == (4, 11)
    table = open_table(str(tmp_path), 32)
    assert table is not None
    stored = table.to_arrow().sort_by("key").to_pydict()
    assert (stored["key"], stored["label"], stored["split"]) == (keys, labels, splits)
    np.testing.assert_array_equal(np.array(stored["embedding"], np.float32), normalize(embeddings))
    assert open_searcher(str(tmp_path), FEW_ROWS).similar_to_row(3, 50).matches == 49


def test_a_publication_that_is_killed_moves_no_tag_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_ROWS_PER_BATCH", 20)
    publish(str(tmp_path), FEW_ROWS)
    later = FEW_ROWS._replace(labels=["c"] * 50)

    def killed(items: Iterable[Any], label: str, _: int) -> Iterable[Any]:
        for number, item in enumerate(items):
            if label == "publish" and number == 25:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        write_rows(str(tmp_path), later, killed)
    assert open_searcher(str(tmp_path), FEW_ROWS).similar_to_row(3, 50, "basalt").matches == 29
    assert publish(str(tmp_path), later)[1:] == (30, 0)


def test_two_writers_at_once_each_mark_a_version_that_is_wholly_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_ROWS_PER_BATCH", 20)
    both = {tag: rows_of({"basalt": 40 + 20 * i, "marble": 30}, seed=i) for i, tag in enumerate(("one", "other"))}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda tag: publish(str(tmp_path), both[tag], tag), both))
    for tag, rows in both.items():
        searcher = open_searcher(str(tmp_path), rows, tag)
        np.testing.assert_array_equal(searcher.vectors[np.arange(len(rows.keys))], normalize(rows.embeddings))


def test_a_reader_stays_at_the_version_that_it_opened(tmp_path: Path) -> None:
    publish(str(tmp_path), FEW_ROWS)
    reader = open_searcher(str(tmp_path), FEW_ROWS)
    before = reader.similar_to_row(7, 10).neighbors
    later = rows_of({"basalt": 10, "granite": 5})
    publish(str(tmp_path), later)
    assert reader.similar_to_row(7, 10).neighbors == before
    assert reader.similar_to_row(7, 50, "marble").matches == 20
    assert open_searcher(str(tmp_path), later).similar_to_row(7, 50).matches == 14
    with pytest.raises(UserError, match="holds other images"):
        open_searcher(str(tmp_path), FEW_ROWS)


def test_embeddings_of_another_length_are_published_beside(tmp_path: Path) -> None:
    publish(str(tmp_path), FEW_ROWS)
    publish(str(tmp_path), FEW_ROWS._replace(embeddings=FEW_ROWS.embeddings[:, :8]))
    assert open_searcher(str(tmp_path), FEW_ROWS).vectors[3].shape == (32,)


def test_keys_that_another_program_has_written_twice_are_there_once(tmp_path: Path) -> None:
    twice = writing._as_table(FEW_ROWS, [b"0" * 16] * 50, [*range(50), 7])
    lancedb.connect(tmp_path).create_table(table_name(32), twice)
    publish(str(tmp_path), FEW_ROWS)
    assert open_searcher(str(tmp_path), FEW_ROWS).similar_to_row(3, 100).matches == 49


@pytest.mark.parametrize("tag", ["run", "other"])
def test_what_is_not_published_is_told_and_no_folder_is_made(tmp_path: Path, tag: str) -> None:
    if tag == "other":
        publish(str(tmp_path / "there"), FEW_ROWS)
    for folder in ("there", "not there"):
        with pytest.raises(UserError, match=rf"nothing is published under {tag} at .*: run `python src/publish\.py"):
            open_searcher(str(tmp_path / folder), FEW_ROWS, tag)
        assert (tmp_path / folder).exists() == (tag == "other" and folder == "there")


def test_what_lancedb_cannot_do_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as error:
        publish(str(tmp_path / "file"), FEW_ROWS)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)
    assert ".rs:" not in str(error.value)


def test_where_lancedb_is_not_installed_the_line_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(UserError, match=r"run `pip install 'lancedb>=0\.40,<0\.41'`"):
        publish(str(tmp_path), FEW_ROWS)
