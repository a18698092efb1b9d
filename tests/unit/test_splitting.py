from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from similarity.data.dataset.duplicates import Pairs, bounded_groups, group_rows, identical_images
from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.errors import DataError, UserError
from split import FEW, complete_splits, split_images

FIFTHS = {"test": 0.2, "valid": 0.2}


def records(**classes: list[int]) -> list[ImageRecord]:
    """Images by class, each given by the number of its content."""
    return [
        ImageRecord(f"{label}/{i}.jpg", label, f"{content:064x}", 8, 8)
        for label, contents in classes.items()
        for i, content in enumerate(contents)
    ]


def test_images_without_a_class_come_last_among_the_folders_and_in_no_class() -> None:
    manifest = Manifest(records(a=[1, 2], unlabeled=[3], z=[4]))
    assert (manifest.classes, manifest.folders) == (["a", "z"], ["a", "z", "unlabeled"])
    assert manifest.labeled(np.array([0, 2, 3])).tolist() == [0, 3]
    assert manifest.can_teach
    assert not Manifest(records(a=[1, 2], unlabeled=[3])).can_teach


def split_distinct(images: list[ImageRecord], seed: int = 0, valid: float = 0.2, test: float = 0.2) -> list[str]:
    """Split images of which only identical ones belong together."""
    groups = group_rows(len(images), identical_images(Manifest(images).contents))
    return split_images(Manifest(images), groups, {"test": test, "valid": valid}, seed)


def pairs(*ends: tuple[int, int]) -> Pairs:
    first, second = np.array(ends, np.int64).reshape(-1, 2).T
    return Pairs(first, second, np.ones(len(ends)))


def some(count: int, seed: int) -> list[int]:
    """Draw the numbers of different contents."""
    return np.random.default_rng(seed).choice(10**6, count, replace=False).tolist()


seeds = st.integers(0, 2**31 - 1)
few_contents = st.builds(some, st.integers(10, FEW - 1), seeds)
many_contents = st.builds(some, st.integers(FEW, 2 * FEW), seeds)
shares = st.sampled_from([0.1, 0.2, 1 / 3])


@settings(deadline=None)
@given(few_contents, shares, seeds)
def test_a_class_of_few_images_is_split_exactly_by_the_shares(images: list[int], share: float, seed: int) -> None:
    expected = max(1, round(share * len(images)))
    counts = Counter(split_distinct(records(a=images), seed, share, share))
    assert counts == {"valid": expected, "test": expected, "train": len(images) - 2 * expected}


def test_a_large_class_is_split_nearly_by_the_shares_and_a_very_large_group_is_for_training() -> None:
    counts = Counter(split_distinct(records(a=list(range(10_000))), test=0.1))
    assert abs(counts["valid"] - 2000) < 120  # three standard deviations
    assert abs(counts["test"] - 1000) < 90
    for scenes in (3, 4, 7):
        splits = split_images(Manifest(records(a=list(range(10 * scenes)))), np.repeat(range(scenes), 10), FIFTHS, 0)
        assert Counter(splits) == {"train": 10 * (scenes - 2), "valid": 10, "test": 10}
    groups = np.concatenate([np.zeros(200, int), np.arange(1, 101)])
    assert set(split_images(Manifest(records(a=list(range(300)))), groups, FIFTHS, 0)[:200]) == {"train"}


@settings(deadline=None)
@given(few_contents | many_contents, st.integers(0, 60), seeds)
def test_more_images_move_none_of_a_large_class_and_one_more_very_few_of_a_small_one(
    images: list[int], added: int, seed: int
) -> None:
    added = added if len(images) >= FEW else 1
    more = list(range(10**6, 10**6 + added))
    before = split_distinct(records(a=images), seed)
    after = split_distinct(records(a=[*images, *more]), seed)[: len(images)]
    moved = sum(old != new for old, new in zip(before, after, strict=True))
    most = sum(count == 1 for count in Counter(before).values()) if len(images) >= FEW else 3
    assert moved <= most or len(images) == FEW - 1  # one more makes it a large one


@pytest.mark.parametrize("size", [FEW // 2, 2 * FEW])
def test_content_and_seed_alone_decide(size: int) -> None:
    images = records(a=list(range(size)), b=list(range(1000, 1040)))
    splits = split_distinct(images, 3)
    assert split_distinct([record._replace(path="a/renamed.jpg") for record in images], 3) == splits
    assert split_distinct(images, 4) != splits


@pytest.mark.parametrize(
    ("small", "share", "counted"),
    [
        ([1, 2], 0.2, "2 among 2"),
        ([1, 2, 3, 4], 0.4, "4 among 4"),
        ([*range(10, 40)], 0.2, "0 among 30"),  # of two classes of the same size, the first one does
    ],
)
def test_a_class_that_is_too_small_is_named(small: list[int], share: float, counted: str) -> None:
    images = records(big=list(range(10, 40)), small=small)
    with pytest.raises(DataError) as refusal:
        split_distinct(images, 0, share, share)
    assert refusal.value.problems == [f"class 'small' has too few distinct images of its own ({counted})"]


def test_images_without_a_class_are_split_like_one_and_very_few_are_for_training() -> None:
    alone = split_distinct(records(unlabeled=list(range(10))))
    assert Counter(alone) == {"train": 6, "valid": 2, "test": 2}
    for few in ([1], [1, 2], [1, 1, 1]):
        assert set(split_distinct(records(a=list(range(10, 40)), unlabeled=few))[30:]) == {"train"}
    with pytest.raises(UserError, match="'unlabeled' has too few distinct images"):
        split_distinct(records(unlabeled=[1, 2]))


class_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5)
contents = st.lists(st.integers(0, 200), min_size=1, max_size=70)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(class_names, contents, min_size=1, max_size=6), seeds, st.data())
def test_every_split_is_a_partition_that_keeps_groups_together_or_says_what_it_lacks(
    classes: dict[str, list[int]], seed: int, data: st.DataObject
) -> None:
    """Whatever the classes are called, and whatever they share."""
    images = sorted(records(**classes))
    rows = st.integers(0, len(images) - 1)
    near = pairs(*data.draw(st.lists(st.tuples(rows, rows), max_size=10)))
    manifest = Manifest(images)
    groups = bounded_groups(manifest, identical_images(manifest.contents), near, 3)
    try:
        splits = split_images(manifest, groups, FIFTHS, seed)
    except DataError as error:
        named = [problem.removeprefix("class ").rsplit(" has too few", 1)[0] for problem in error.problems]
        assert set(named) <= {repr(label) for label in classes}  # both outcomes are right
        return
    assert len(splits) == len(images)
    assert set(splits) == {"train", "valid", "test"}
    assert len(set(zip(groups.tolist(), splits, strict=True))) == len(set(groups.tolist()))


def test_a_slow_pan_of_one_scene_is_kept_together_as_far_as_its_class_allows() -> None:
    manifest = Manifest(records(a=list(range(6)), b=list(range(6, 14))))
    pan = pairs(*((i, i + 1) for i in range(5)))
    both = Pairs(*(np.concatenate(each) for each in zip(pan, pairs((6, 7), (7, 8)), strict=True)))
    groups = bounded_groups(manifest, pairs((0, 1)), both, 3)
    assert groups[0] == groups[1]  # the same bytes
    assert len(set(groups[:6])) == 5  # a class of one scene is divided nevertheless
    assert len(set(groups[6:9])) == 1
    assert len(set(groups[6:])) == 6


def test_a_class_whose_images_have_copies_in_a_larger_one_or_without_a_class_keeps_them() -> None:
    copied = list(range(20))
    for images in (
        records(clean=list(range(100)), watermarked=copied),
        records(unlabeled=list(range(60)), vans=copied),
    ):
        splits = split_distinct(images)
        label = images[-1].label
        counts = Counter(split for record, split in zip(images, splits, strict=True) if record.label == label)
        assert counts == {"train": 12, "valid": 4, "test": 4}


def complete(images: list[ImageRecord], given: list[str], seed: int = 0) -> list[str]:
    """Complete given splits with the shares 0.6, 0.2 and 0.2."""
    return complete_splits(Manifest(images), given, np.arange(len(given)), FIFTHS, seed)


@settings(deadline=None)
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


def test_a_missing_split_is_drawn_from_the_training_images_of_each_class() -> None:
    images = records(a=list(range(60)), b=list(range(60, 100)))
    splits = complete(images, ["valid"] * 20 + ["train"] * 40 + ["valid"] * 20 + [""] * 20)
    assert Counter(splits[:60]) == {"valid": 20, "train": 30, "test": 10}  # 0.2 of 0.6 + 0.2
    assert Counter(splits[60:]) == {"valid": 20, "train": 15, "test": 5}
    assert complete(images, [""] * 100) == split_distinct(images)
    images = records(a=list(range(20)), b=list(range(20, 40)), unlabeled=list(range(40, 50)))
    splits = complete(images, ["train"] * 40 + ["test"] * 10)  # as the test images of competitions have no class
    assert Counter(splits[:20]) == Counter(splits[20:40]) == {"train": 12, "valid": 4, "test": 4}
    assert set(splits[40:]) == {"test"}
    with pytest.raises(DataError, match=r"class 'b' has no image for training.*set split\.keep_given to false"):
        complete(records(a=[1, 2, 3], b=[4, 5]), ["train", "valid", "test", "valid", "test"])
