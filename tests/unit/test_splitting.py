from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.dataset.manifest import ImageRecord, Manifest
from similarity.dataset.splitting import complete_splits, split_images
from similarity.duplication.detection import identical_images
from similarity.duplication.grouping import bounded_groups, group_rows
from similarity.duplication.leaks import find_leaks
from similarity.duplication.pairs import Pairs, linked_to, pairs_among
from similarity.errors import DataError, UserError


def records(**classes: list[int]) -> list[ImageRecord]:
    """Images by class, each given by the number of its content."""
    return [
        ImageRecord(f"{label}/{i}.jpg", label, f"{content:064x}", 8, 8)
        for label, contents in classes.items()
        for i, content in enumerate(contents)
    ]


def split_distinct(images: list[ImageRecord], valid: float, test: float, seed: int) -> list[str]:
    """Splits images of which only identical ones belong together."""
    return split_images(Manifest(images), group_rows(len(images), identical_images(images)), valid, test, seed)


def pairs(*ends: tuple[int, int]) -> Pairs:
    first, second = np.array(ends, np.int64).reshape(-1, 2).T
    return Pairs(first, second, np.ones(len(ends)))


contents = st.lists(st.integers(0, 10**6), min_size=10, max_size=60, unique=True)


@given(contents, st.sampled_from([0.1, 0.2, 1 / 3]), st.integers(0, 2**31 - 1))
def test_each_class_is_split_by_the_shares(images: list[int], share: float, seed: int) -> None:
    splits = split_distinct(records(a=images), share, share, seed)
    expected = max(1, round(share * len(images)))
    assert Counter(splits) == {"valid": expected, "test": expected, "train": len(images) - 2 * expected}


@given(contents, contents, st.integers(0, 100))
def test_identical_images_share_a_split_in_whatever_class(first: list[int], second: list[int], seed: int) -> None:
    images = records(a=[*first, *first[:3]], b=second)
    try:
        splits = split_distinct(images, 0.2, 0.2, seed)
    except UserError:  # b may be left with too few images of its own
        return
    of_content: dict[str, set[str]] = {}
    for record, split in zip(images, splits, strict=True):
        of_content.setdefault(record.sha256, set()).add(split)
    assert all(len(found) == 1 for found in of_content.values())


def test_the_seed_decides_and_decides_alone() -> None:
    images = records(a=list(range(50)), b=list(range(50, 90)))
    assert split_distinct(images, 0.2, 0.2, 3) == split_distinct(images, 0.2, 0.2, 3)
    assert split_distinct(images, 0.2, 0.2, 3) != split_distinct(images, 0.2, 0.2, 4)


def test_renaming_moves_nothing_and_adding_images_moves_few() -> None:
    before = records(a=list(range(200)))
    after = [record._replace(path=f"a/new{i}.jpg") for i, record in enumerate(records(a=list(range(210))))]
    splits = list(zip(split_distinct(before, 0.2, 0.2, 0), split_distinct(after, 0.2, 0.2, 0), strict=False))
    assert sum(old != new for old, new in splits) <= 10


@pytest.mark.parametrize(("images", "share"), [([1, 2], 0.2), ([1, 1, 2], 0.2), ([1, 2, 3, 4], 0.4)])
def test_a_class_that_is_too_small_is_named(images: list[int], share: float) -> None:
    with pytest.raises(UserError, match="class 'small' has too few distinct images"):
        split_distinct(records(big=list(range(10, 40)), small=images), share, share, 0)


@pytest.mark.parametrize("copied", [0, 1, 2])
def test_a_class_of_copies_is_told_whose_copies_they_are(copied: int) -> None:
    """Of two classes of the same size, the first one keeps what both have."""
    shared, own = list(range(6)), list(range(20, 20 + copied))
    with pytest.raises(DataError) as refusal:
        split_distinct(records(a=[*shared, *range(90, 90 + copied)], b=[*shared, *own]), 0.2, 0.2, 0)
    count = "all 6" if not copied else f"6 of {6 + copied}"
    assert refusal.value.problems == [
        f"class 'b' has too few distinct images ({copied}): {count} are copies of images in 'a'"
    ]


def test_what_is_only_nearly_the_same_is_not_called_a_copy() -> None:
    images = records(a=list(range(6)), b=list(range(10, 16)))
    with pytest.raises(DataError, match="all 6 are copies of, or nearly the same as, images in 'a'"):
        split_images(Manifest(images), group_rows(12, pairs(*((i, i + 6) for i in range(6)))), 0.2, 0.2, 0)


def test_copies_within_a_class_are_told_from_a_lack_of_images() -> None:
    with pytest.raises(DataError, match=r"'b' has too few distinct images \(2 among 9\)"):
        split_distinct(records(a=list(range(10, 40)), b=[1, 1, 1, 1, 1, 2, 2, 2, 2]), 0.2, 0.2, 0)


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 8), min_size=1, max_size=30))
def test_every_class_that_is_too_small_is_named_and_no_other(sizes: dict[str, int]) -> None:
    first = iter(range(1000))
    images = records(**{label: [next(first) for _ in range(size)] for label, size in sizes.items()})
    small = [f"class {label!r} has too few distinct images ({sizes[label]})" for label in sorted(sizes)]
    small = [problem for problem in small if sizes[problem.split("'")[1]] < 3]
    if not small:
        assert set(split_distinct(images, 0.2, 0.2, 0)) == {"train", "valid", "test"}
        return
    with pytest.raises(DataError) as refusal:
        split_distinct(images, 0.2, 0.2, 0)
    assert refusal.value.problems == small
    assert str(refusal.value).count("class '") == min(10, len(small))
    assert (f"; and {len(small) - 10} more: " in str(refusal.value)) == (len(small) > 10)


def test_images_without_a_class_are_split_like_one_and_very_few_are_for_training() -> None:
    alone = split_distinct(records(unlabeled=list(range(10))), 0.2, 0.2, 0)
    assert Counter(alone) == {"train": 6, "valid": 2, "test": 2}
    for few in ([1], [1, 2], [1, 1, 1]):
        assert set(split_distinct(records(a=list(range(10, 40)), unlabeled=few), 0.2, 0.2, 0)[30:]) == {"train"}
    with pytest.raises(UserError, match="'unlabeled' has too few distinct images"):
        split_distinct(records(unlabeled=[1, 2]), 0.2, 0.2, 0)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5),
        st.lists(st.integers(0, 200), min_size=1, max_size=40),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 2**31 - 1),
    st.data(),
)
def test_every_split_is_a_partition_that_keeps_groups_together_or_tells_what_it_lacks(
    classes: dict[str, list[int]], seed: int, data: st.DataObject
) -> None:
    """Whatever the classes are called, and whatever they share."""
    images = sorted(records(**classes))
    rows = st.integers(0, len(images) - 1)
    near = pairs(*data.draw(st.lists(st.tuples(rows, rows), max_size=10)))
    manifest = Manifest(images)
    groups = bounded_groups(manifest, identical_images(images), near, 3)
    try:
        splits = split_images(manifest, groups, 0.2, 0.2, seed)
    except DataError as error:
        told = [problem.removeprefix("class ").rsplit(" has too few", 1)[0] for problem in error.problems]
        assert set(told) <= {repr(label) for label in classes}  # both outcomes are right
        return
    assert len(splits) == len(images)
    assert set(splits) == {"train", "valid", "test"}
    assert len(set(zip(groups.tolist(), splits, strict=True))) == len(set(groups.tolist()))
    assert splits == split_images(manifest, groups, 0.2, 0.2, seed)


@given(contents, st.data())
def test_near_duplicates_share_a_split_and_the_shares_stay(images: list[int], data: st.DataObject) -> None:
    count = len(images)
    ends = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=count // 4))
    groups = group_rows(count, pairs(*ends))
    splits = split_images(Manifest(records(a=images)), groups, 0.2, 0.2, 0)
    assert all(splits[one] == splits[other] for one, other in ends)
    assert 1 <= splits.count("test") <= max(1, round(0.2 * count))
    assert 1 <= splits.count("valid") <= max(1, round(0.2 * count))


def test_a_slow_pan_of_one_scene_is_kept_together_as_far_as_its_class_allows() -> None:
    manifest = Manifest(records(a=list(range(6)), b=list(range(6, 14))))
    pan = pairs(*((i, i + 1) for i in range(5)))
    other = pairs((6, 7), (7, 8))
    both = Pairs(*(np.concatenate(each) for each in zip(pan, other, strict=True)))
    groups = bounded_groups(manifest, pairs((0, 1)), both, 3)
    assert groups[0] == groups[1]  # the same bytes
    assert len(set(groups[:6])) == 5  # a class of one scene is divided all the same
    assert len(set(groups[6:9])) == 1
    assert len(set(groups[6:])) == 6


def test_a_class_whose_images_have_copies_in_a_larger_one_or_without_a_class_keeps_them() -> None:
    copied = list(range(20))
    for images in (
        records(clean=list(range(100)), watermarked=copied),
        records(unlabeled=list(range(60)), vans=copied),
    ):
        splits = split_distinct(images, 0.2, 0.2, 0)
        label = images[-1].label
        counts = Counter(split for record, split in zip(images, splits, strict=True) if record.label == label)
        assert counts == {"train": 12, "valid": 4, "test": 4}


@pytest.mark.parametrize("scenes", [3, 4, 7])
def test_a_class_of_few_large_groups_has_one_in_each_split(scenes: int) -> None:
    groups = np.repeat(np.arange(scenes), 10)
    splits = split_images(Manifest(records(a=list(range(10 * scenes)))), groups, 0.2, 0.2, 0)
    assert Counter(splits) == {"train": 10 * (scenes - 2), "valid": 10, "test": 10}


def test_images_linked_to_others_are_told() -> None:
    assert linked_to(np.array([2]), 5, pairs((0, 2)), pairs((2, 4), (1, 3))).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]


def complete(images: list[ImageRecord], given: list[str], seed: int = 0) -> list[str]:
    """Completes given splits with the shares 0.6, 0.2 and 0.2."""
    return complete_splits(Manifest(images), given, lambda rows: np.arange(len(rows)), 0.2, 0.2, seed)


@given(contents, st.integers(0, 2**31 - 1))
def test_where_nothing_is_given_all_is_drawn(images: list[int], seed: int) -> None:
    drawn = records(a=images)
    assert complete(drawn, [""] * len(drawn), seed) == split_distinct(drawn, 0.2, 0.2, seed)


@given(st.lists(st.sampled_from(["", "train", "valid", "test"]), min_size=24, max_size=24), st.integers(0, 9))
def test_what_is_given_for_validation_and_test_stays_and_each_class_can_be_learned(given: list[str], seed: int) -> None:
    images = records(a=list(range(12)), b=list(range(12, 24)))
    try:
        splits = complete(images, given, seed)
    except DataError:  # there are too few images to draw from
        assert min(sum(split in {"", "train"} for split in part) for part in (given[:12], given[12:])) < 3
        return
    assert all(new == old for new, old in zip(splits, given, strict=True) if old in {"valid", "test"})
    assert set(splits) == {"train", "valid", "test"}
    assert "train" in splits[:12]
    assert "train" in splits[12:]
    if {"valid", "test"} <= set(given):
        assert splits == [split or "train" for split in given]


def test_a_split_that_is_lacking_is_drawn_from_the_training_images_of_each_class() -> None:
    images = records(a=list(range(60)), b=list(range(60, 100)))
    given = ["valid"] * 20 + ["train"] * 40 + ["valid"] * 20 + [""] * 20
    splits = complete(images, given)
    assert Counter(splits[:60]) == {"valid": 20, "train": 30, "test": 10}  # 0.2 of 0.6 + 0.2
    assert Counter(splits[60:]) == {"valid": 20, "train": 15, "test": 5}
    assert splits != complete(images, given, 1)


def test_a_test_split_of_images_without_a_class_is_kept_and_another_one_is_drawn_of_those_with_one() -> None:
    images = records(a=list(range(20)), b=list(range(20, 40)), unlabeled=list(range(40, 50)))
    splits = complete(images, ["train"] * 40 + ["test"] * 10)
    assert Counter(splits[:20]) == Counter(splits[20:40]) == {"train": 12, "valid": 4, "test": 4}
    assert set(splits[40:]) == {"test"}


def test_a_class_that_is_given_no_training_image_is_named() -> None:
    images = records(a=list(range(4)), b=[4, 5], c=[6])
    with pytest.raises(DataError) as refusal:
        complete(images, ["train", "train", "valid", "test", "valid", "test", "test"])
    assert refusal.value.problems == ["class 'b' has no image for training", "class 'c' has no image for training"]
    assert "set split.keep_given to false" in str(refusal.value)


def test_pairs_among_some_images_are_numbered_as_these() -> None:
    among = pairs_among(pairs((0, 1), (1, 3), (3, 4)), np.array([1, 3, 4]), 5)
    assert list(zip(among.first, among.second, strict=True)) == [(0, 1), (1, 2)]


def test_what_is_alike_and_in_two_splits_is_found() -> None:
    leaks = find_leaks(pairs((0, 1), (1, 2), (0, 3)), ["train", "train", "test", "valid"])
    assert list(zip(leaks.first, leaks.second, strict=True)) == [(1, 2), (0, 3)]
