"""Publishing to LanceDB and searching there: what is found is what NumPy finds, and of one version."""

import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish import embed_rows
from samples import relu_clusters
from similarity.data.dataset.manifest import SPLIT_NAMES, ImageRecord
from similarity.data.vectors import normalize
from similarity.engine import published
from similarity.engine.gallery import Gallery
from similarity.engine.published import Row, add, open_table, publish
from similarity.engine.results import Options
from similarity.engine.stores import Parts
from similarity.errors import UserError

SIZES = {"common": 1000, "it's rare": 7, "seldom": 60, "single": 1, "usual \\ 2": 600}
PARTS = Parts(32, 20, 0.3)
SMALL = {"basalt": 30, "jug": 20}


def rows_of(sizes: dict[str, int], change: float = 0) -> list[Row]:
    labels = [label for label, size in sizes.items() for _ in range(size)]
    embeddings = relu_clusters(len(labels)) + np.float32(change)
    embeddings[0, :20] = embeddings[1, 20:] = embeddings[-2] = 0
    embeddings[10:14] = embeddings[5]  # ties
    return [
        Row(ImageRecord(f"{label}/{i:05d}.jpg", label, f"{i:064}", 8, 9), SPLIT_NAMES[i % 3], "", unit)
        for i, (label, unit) in enumerate(zip(labels, normalize(embeddings), strict=True))
    ]


def published_gallery(folder: Path, rows: list[Row], name: str = "run") -> Gallery:
    publish(str(folder), name, rows, 32)
    return open_table(str(folder), name, PARTS)


ROWS, FEW_ROWS = rows_of(SIZES), rows_of(SMALL)
UNITS = np.array([row.embedding for row in ROWS])


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return published_gallery(tmp_path_factory.mktemp("published"), ROWS)


def expected(vectors: np.ndarray, query: np.ndarray, allowed: np.ndarray, count: int) -> tuple[list[int], list[float]]:
    """What NumPy finds: rows and cosines, ties by row."""
    rows = np.flatnonzero(allowed)
    cosines = (vectors[rows].astype(np.float64) @ query.astype(np.float64)).round(6) + 0.0
    order = np.lexsort((rows, -cosines))[:count]
    return rows[order].tolist(), cosines[order].tolist()


@given(
    row=st.integers(0, len(ROWS) - 1),
    count=st.sampled_from([1, 5, 30, 700]),
    label=st.sampled_from([None, *SIZES]),
    split=st.sampled_from([None, *SPLIT_NAMES]),
    look=st.sampled_from([None, None, 0.0, 0.4, 1.0]),
    few=st.sampled_from([0, 100]),  # LanceDB's filters are tried on rare classes, too
)
@settings(deadline=None, max_examples=50)
def test_an_exact_search_finds_what_numpy_finds_of_what_is_allowed(
    gallery: Gallery, row: int, count: int, label: str | None, split: str | None, look: float | None, few: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "_FEW", few)
        found = gallery.search(UNITS[row], Options(count, label, "exact", look, split), [row])
    allowed = np.array([label in {None, each.record.label} and split in {None, each.split} for each in ROWS])
    allowed[row] = False
    query, vectors = (UNITS[row], UNITS) if look is None else (PARTS.weigh(UNITS[row], look), PARTS.restore(UNITS))
    np.testing.assert_allclose(found.cosines, expected(vectors, query, allowed, count)[1], atol=2e-6)
    np.testing.assert_allclose(found.cosines, vectors[found.rows] @ query, atol=2e-6)
    assert allowed[found.rows].all()
    assert len(set(found.rows)) == len(found.rows)
    assert found.matches == np.count_nonzero(allowed)


def test_images_come_back_as_they_were_published_and_the_index_finds_nearly_all_neighbors(gallery: Gallery) -> None:
    rows = [1000, 3, 3, 1667, 0]
    np.testing.assert_array_equal(gallery.vectors[rows], UNITS[rows])
    assert gallery.manifest.records == [row.record for row in ROWS]
    assert [gallery.split(row) for row in range(3)] == list(SPLIT_NAMES)
    hits, queries = 0, range(2, len(ROWS), 40)
    for row in queries:
        found = gallery.search(UNITS[row], Options(10, index="lancedb"), [row])
        hits += (found.cosines >= expected(UNITS, UNITS[row], np.arange(len(UNITS)) != row, 10)[1][-1]).sum()
        assert len(set(found.rows) - {row}) == 10
        np.testing.assert_allclose(found.cosines, UNITS[found.rows].astype(np.float64) @ UNITS[row], atol=1e-6)
    assert hits > 0.95 * 10 * len(queries)
    everything = gallery.search(UNITS[5], Options(len(UNITS) - 1, index="lancedb"), [5])  # more than the clusters hold
    assert set(everything.rows) == set(range(len(UNITS))) - {5}


def test_a_reader_stays_at_its_version_and_a_publication_that_is_killed_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> Iterator[Row]:
        yield from FEW_ROWS[:25]
        raise KeyboardInterrupt

    monkeypatch.setattr(published, "_ROWS_PER_BATCH", 20)
    reader = published_gallery(tmp_path, FEW_ROWS)
    before = reader.search(FEW_ROWS[7].embedding, Options(10)).rows.tolist()
    with pytest.raises((KeyboardInterrupt, UserError)):
        publish(str(tmp_path), "run", killed(), 32)
    assert len(open_table(str(tmp_path), "run", PARTS).manifest.records) == 50
    later = published_gallery(tmp_path, rows_of({"basalt": 10, "granite": 5}, 0.1))
    assert reader.search(FEW_ROWS[7].embedding, Options(10)).rows.tolist() == before
    assert len(later.manifest.records) == 15


def test_images_are_added_in_the_place_of_those_with_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_gallery(tmp_path, FEW_ROWS)
    new = FEW_ROWS[3]._replace(record=FEW_ROWS[3].record._replace(path="jug/0.jpg", label="jug"), split="", file="/x")
    changed = FEW_ROWS[4]._replace(embedding=FEW_ROWS[9].embedding)
    assert add(str(tmp_path), "run", [new, changed], 32) == 51
    gallery = open_table(str(tmp_path), "run", PARTS)
    row = gallery.row("jug/0.jpg")
    assert (gallery.split(row), gallery.added) == (None, {"jug/0.jpg": Path("/x")})
    found = gallery.search(new.embedding, Options(2, index="lancedb"))
    assert {gallery.manifest.keys[row] for row in found.rows} == {"jug/0.jpg", FEW_ROWS[3].record.path}
    np.testing.assert_array_equal(gallery.vectors[gallery.row(changed.record.path)], changed.embedding)
    with pytest.raises(UserError, match=r"other cannot be opened at .* was not found.*: run `python src/publish\.py"):
        add(str(tmp_path), "other", [new], 32)
    with pytest.raises(UserError, match=r"run cannot be opened at .* no such folder"):
        open_table(str(tmp_path / "nowhere"), "run", PARTS)
    assert not (tmp_path / "nowhere").exists()
    with monkeypatch.context() as patch:
        patch.setattr(published, "_connect", Mock(side_effect=RuntimeError("connection refused")))
        with pytest.raises(UserError, match=r"\(connection refused\): check the address, the network, and"):
            open_table("s3://bucket/path", "run", PARTS)
    assert len(published_gallery(tmp_path, FEW_ROWS).manifest.records) == 50  # the next whole publication replaces it


def test_errors_of_lancedb_are_one_line_which_installs_it_if_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"^{tmp_path}") as error:
        publish(str(tmp_path / "file"), "run", FEW_ROWS, 32)
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(UserError, match=r"run `pip install 'lancedb>=0\.40,<0\.41'`"):
        publish(str(tmp_path), "run", FEW_ROWS, 32)


@pytest.mark.parametrize("names", [("unlabeled/x.jpg", "x.jpg"), ("a/b/c.jpg", "a/b__c.jpg")])
def test_files_that_would_have_one_key_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"would both be added as .*: nothing was added") as error:
        embed_rows(Mock(), tmp_path)
    assert all(str(tmp_path / name) in str(error.value) for name in names)
