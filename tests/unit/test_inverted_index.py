import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from similarity.errors import UserError
from similarity.index import find_neighbors, map_inverted_index, read_cosines, write_inverted_index

KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=30, unique=True)


@settings(deadline=None)  # files are written
@given(keys=KEYS, absent=st.text(st.characters(exclude_categories=["Cs"])))
def test_each_image_is_found_in_the_file_and_no_other(keys: list[str], absent: str, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    keys.sort()
    path: Path = tmp_path_factory.getbasetemp() / "inverted-index.json"
    rows = [np.array([(i + 1) % len(keys), i]) for i in range(len(keys))]
    write_inverted_index(path, keys, [(row, np.array([0.5, -0.25])) for row in rows])
    content = map_inverted_index(path)
    everything = json.loads(path.read_bytes())
    for i, key in enumerate(keys):
        neighbors = find_neighbors(content, key)
        assert neighbors == [(keys[(i + 1) % len(keys)], 0.5), (key, -0.25)]
        assert [list(pair) for pair in neighbors] == everything[key]
    assert (find_neighbors(content, absent) is None) == (absent not in keys)


def test_cosines_are_read_for_the_images_that_are_asked_for_and_no_others(tmp_path: Path) -> None:
    path, cosines = tmp_path / "inverted-index.json", np.array([[0.5, 0.25], [0.5, 0.125], [0.25, 0.125]])
    rows = np.array([[1, 2], [0, 2], [0, 1]])
    write_inverted_index(path, ["a", "b", "c"], zip(rows, cosines, strict=True))
    np.testing.assert_array_equal(read_cosines(path, ["a", "b", "c"], 5), cosines)
    for keys, top_k in ((["a", "b", "d"], 2), (["a", "b"], 2), (["a", "b", "c", "d"], 2), (["a", "b", "c"], 1)):
        with pytest.raises(UserError, match="run `dvc repro`"):
            read_cosines(path, keys, top_k)
    for kept in (3, 10, 30):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(UserError, match="run `dvc repro`"):
            read_cosines(path, ["a", "b", "c"], 5)
