"""Lists of changes come to the same one after the other as together, and say what they come to."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.dataset.change_list import (
    Changes,
    apply_changes,
    combine_changes,
    needed_changes,
    read_changes,
    write_changes,
)
from similarity.dataset.manifest import ImageRecord, Manifest
from similarity.errors import DataError, UserError

NAMES = [f"{label}/{number}.png" for label in "ab" for number in range(3)]
contents = st.dictionaries(st.sampled_from(NAMES), st.sampled_from("xyz"))


def records(contents: dict[str, str]) -> dict[str, ImageRecord]:
    return {key: ImageRecord(key, key.split("/")[0], digest, 8, 9) for key, digest in contents.items()}


def manifest(contents: dict[str, str]) -> Manifest:
    return Manifest([record for _, record in sorted(records(contents).items())])


def changes_between(before: dict[str, str], after: dict[str, str]) -> Changes:
    return Changes(
        records({key: digest for key, digest in after.items() if before.get(key) != digest}),
        {key: digest for key, digest in before.items() if after.get(key) != digest},
    )


@given(contents, contents, contents)
def test_changes_in_turn_and_combined_and_reduced_give_the_same_data_set(
    first: dict[str, str], second: dict[str, str], third: dict[str, str]
) -> None:
    changes = combine_changes(changes_between(first, second), changes_between(second, third))
    for some in (changes, needed_changes(manifest(first), changes)):
        assert apply_changes(manifest(first), some).manifest == manifest(third)
    assert needed_changes(manifest(first), changes) == changes_between(first, third)


@given(contents, contents)
def test_each_image_knows_the_row_that_it_had(before: dict[str, str], after: dict[str, str]) -> None:
    changed = apply_changes(manifest(before), changes_between(before, after))
    rows = {record: row for row, record in enumerate(manifest(before).records)}
    assert changed.origins.tolist() == [rows.get(record, -1) for record in changed.manifest.records]


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    changes = changes_between(
        {"a/0.png": "x", "a/1, 2.png": "y"}, {"a/0.png": "z", "b/\N{OGHAM LETTER BEITH}.png": "x"}
    )
    write_changes(tmp_path / "changes.csv", changes)
    assert read_changes(tmp_path / "changes.csv") == changes


def test_an_image_does_not_take_the_place_of_another_of_its_name() -> None:
    with pytest.raises(DataError, match=r"a/0\.png is to be added, but the data set has another image by this name"):
        apply_changes(manifest({"a/0.png": "x"}), Changes(records({"a/0.png": "y"}), {}))


@pytest.mark.parametrize("row", ["added,a/0.png,x,1,1", "add,a/0.png,x,,", "add,a/0.png,x,-1,1"])
def test_a_damaged_list_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "changes.csv"
    path.write_text(f"change,path,sha256,width,height\n{row}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"is damaged at 'a/0.png': run `git checkout HEAD"):
        read_changes(path)
