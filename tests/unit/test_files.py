import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.data import files
from similarity.data.files import Outputs, read_table, write_arrays, write_json_entries, write_metrics, write_table
from similarity.errors import UserError


def test_an_array_written_in_blocks_of_rows_in_any_order_is_a_plain_npy_file(tmp_path: Path) -> None:
    array = np.arange(10, dtype=np.float32).reshape(5, 2)
    files.write_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)
    with files.open_array(tmp_path / "b.npy", (2,), np.float32) as write:
        for block in (slice(4, 5), slice(0, 2), slice(2, 4)):
            write(block.start, array[block])
    np.save(tmp_path / "c.npy", array)
    assert len({(tmp_path / name).read_bytes() for name in ("a.npy", "b.npy", "c.npy")}) == 1


any_key = st.text(st.characters(exclude_categories=["Cs"]))
any_name = st.text(st.characters(exclude_categories=["Cs", "Cc"]))  # as `fetch` lets in


@given(st.dictionaries(any_key, st.lists(st.floats(allow_nan=False, allow_infinity=False) | any_key, max_size=4)))
def test_entries_with_any_key_are_read_as_they_were_written_and_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, list[object]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "entries.json"
    write_json_entries(path, entries.items())
    read = json.loads(path.read_text(encoding="utf-8"))
    assert list(read.items()) == list(entries.items())
    assert len(path.read_bytes().split(b"\n")) == (len(entries) + 3 if entries else 2)


@given(st.lists(st.tuples(any_name, any_name), max_size=5))
def test_a_table_with_any_names_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.csv"
    write_table(path, ("path", "reason"), rows)
    assert [tuple(row) for row in read_table(path, ("path", "reason"))] == rows


@pytest.mark.parametrize("content", ["", "b,a\n1,2\n", "a,b\n1,2\n3\n"])
def test_a_table_of_other_columns_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "table.csv").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"table\.csv does not have the columns a, b"):
        list(read_table(tmp_path / "table.csv", ("a", "b")))


def test_metrics_have_six_decimals_and_are_finite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics(path, {"a": np.float32(1 / 3), "n": np.int64(3), "per_class": {"x": 0.1234567}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 0.333333, "n": 3, "per_class": {"x": 0.123457}}
    for wrong in (float("nan"), None, True):
        with pytest.raises(ValueError, match="must be a finite number"):
            write_metrics(path, {"a": wrong})


def test_outputs_take_their_places_together_or_not_at_all(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "deep" / "b.npy", tmp_path / "folder"]

    def write(text: str, fails: bool) -> None:
        with Outputs() as outputs:
            for path in paths[:2]:
                outputs.file(path).write_text(text, encoding="utf-8")
            (outputs.folder(paths[2]) / f"{text}.txt").write_text(text, encoding="utf-8")
            if fails:
                raise OSError(28, "No space left on device")

    write("old", fails=False)
    with pytest.raises(OSError, match="No space left") as error:
        write("new", fails=True)
    assert error.value.filename == str(paths[2])  # the one that was being written
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"a.json", "deep/b.npy", "folder/old.txt"}
    assert {path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()} == {"old"}
    (tmp_path / ".new.folder").mkdir()  # by a killed run
    (tmp_path / ".new.folder" / "half.txt").touch()
    write("new", fails=False)
    assert {path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()} == {"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "deep", "folder"]


def test_arrays_are_read_as_they_were_written_and_their_bytes_do_not_depend_on_the_version_of_python(
    tmp_path: Path,
) -> None:
    arrays = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "weight": np.float64(0.3), "origin": "here"}
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as found:
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    digest = sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    assert digest == "bdbb126cb1f3c3b4cefbd180bade9d7bd34de350d8a1d841d0f3e6d7f93568db"
