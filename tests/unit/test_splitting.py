from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.dataset.manifest import ImageRecord
from similarity.dataset.splitting import split_images
from similarity.errors import UserError


def records(**classes: list[int]) -> list[ImageRecord]:
    """Images by class, each given by the number of its content."""
    return [
        ImageRecord(f"{label}/{i}.jpg", label, f"{content:064x}", 8, 8)
        for label, contents in classes.items()
        for i, content in enumerate(contents)
    ]


contents = st.lists(st.integers(0, 10**6), min_size=10, max_size=60, unique=True)


@given(contents, st.sampled_from([0.1, 0.2, 1 / 3]), st.integers(0, 2**31 - 1))
def test_each_class_is_split_by_the_shares(images: list[int], share: float, seed: int) -> None:
    splits = split_images(records(a=images), share, share, seed)
    expected = max(1, round(share * len(images)))
    assert Counter(splits) == {"valid": expected, "test": expected, "train": len(images) - 2 * expected}


@given(contents, contents, st.integers(0, 100))
def test_identical_images_share_a_split_in_whatever_class(first: list[int], second: list[int], seed: int) -> None:
    images = records(a=[*first, *first[:3]], b=second)
    try:
        splits = split_images(images, 0.2, 0.2, seed)
    except UserError:  # b may be left with too few images of its own
        return
    of_content: dict[str, set[str]] = {}
    for record, split in zip(images, splits, strict=True):
        of_content.setdefault(record.sha256, set()).add(split)
    assert all(len(found) == 1 for found in of_content.values())


def test_the_seed_decides_and_decides_alone() -> None:
    images = records(a=list(range(50)), b=list(range(50, 90)))
    assert split_images(images, 0.2, 0.2, 3) == split_images(images, 0.2, 0.2, 3)
    assert split_images(images, 0.2, 0.2, 3) != split_images(images, 0.2, 0.2, 4)


def test_renaming_moves_nothing_and_adding_images_moves_few() -> None:
    before = records(a=list(range(200)))
    after = [record._replace(path=f"a/new{i}.jpg") for i, record in enumerate(records(a=list(range(210))))]
    splits = list(zip(split_images(before, 0.2, 0.2, 0), split_images(after, 0.2, 0.2, 0), strict=False))
    assert sum(old != new for old, new in splits) <= 10


@pytest.mark.parametrize(("images", "share"), [([1, 2], 0.2), ([1, 1, 2], 0.2), ([1, 2, 3, 4], 0.4)])
def test_a_class_that_is_too_small_is_named(images: list[int], share: float) -> None:
    with pytest.raises(UserError, match="class 'small' has too few distinct images"):
        split_images(records(big=list(range(10, 40)), small=images), share, share, 0)
