from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from similarity.inverted_index import find_neighbors, read_inverted_index, write_inverted_index

KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=30, unique=True)


@given(keys=KEYS, absent=st.text(st.characters(exclude_categories=["Cs"])))
def test_each_image_is_found_in_the_file_and_no_other(keys: list[str], absent: str, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    keys.sort()
    path: Path = tmp_path_factory.getbasetemp() / "inverted-index.json"
    rows = [np.array([(i + 1) % len(keys), i]) for i in range(len(keys))]
    write_inverted_index(path, keys, [(row, np.array([0.5, -0.25])) for row in rows])
    everything = dict(read_inverted_index(path))
    for i, key in enumerate(keys):
        neighbors = find_neighbors(path, key)
        assert neighbors == [(keys[(i + 1) % len(keys)], 0.5), (key, -0.25)]
        assert [list(pair) for pair in neighbors] == everything[key]
    assert (find_neighbors(path, absent) is None) == (absent not in keys)


def test_nothing_is_found_in_an_index_of_nothing(tmp_path: Path) -> None:
    write_inverted_index(tmp_path / "empty.json", [], [])
    assert find_neighbors(tmp_path / "empty.json", "marble/1.jpg") is None
