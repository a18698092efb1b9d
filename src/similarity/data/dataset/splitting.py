"""Splitting images into those to learn from, those to choose the best epoch by, and those for the final figures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from similarity.data.dataset.manifest import UNLABELED, Manifest
from similarity.errors import DataError

FEW = 50  # groups; the shares of a class with fewer are exact
_ADVICE = (
    "each class needs some, which are not copies of images in larger classes, for each of split.train, split.valid and "
    "split.test: add images, change the shares, or remove the class"
)


def complete_splits(
    manifest: Manifest, given: Sequence[str], groups: np.ndarray, valid: float, test: float, seed: int
) -> list[str]:
    """Assign each image to a split: given splits stay, and those that are missing are drawn.

    If no image with a class is given ``valid``, or none ``test``, this split is drawn from the images that are given
    ``train`` or nothing, in the proportion of its share to that of ``train``. If both are given, images that are given
    nothing are for training. Given splits may part identical images; only those that are drawn are kept together.

    Of each image, `given` has the split, "" where none is given; all else is as `split_images` takes it.

    Raises:
        DataError: classes have too few images to draw from, or none for training; it names all.
    """
    rows = np.arange(len(given))
    present = {given[row] for row in (manifest.labeled(rows) if manifest.classes else rows).tolist()}
    pool = np.flatnonzero([split in {"", "train"} for split in given])
    shares = {name: share for name, share in (("valid", valid), ("test", test)) if name not in present}
    drawn = dict.fromkeys(pool.tolist(), "train")
    if shares and len(pool):
        total = 1 - valid - test + sum(shares.values())
        valid, test = (shares.get(name, 0) / total for name in ("valid", "test"))
        numbers = np.unique(groups[pool], return_inverse=True)[1]
        lacking = split_images(manifest.of(pool), numbers, valid, test, seed)
        drawn = dict(zip(pool.tolist(), lacking, strict=True))
    splits = [drawn.get(row, split) for row, split in enumerate(given)]
    taught = {record.label for record, split in zip(manifest.records, splits, strict=True) if split == "train"}
    if missing := [label for label in manifest.classes or [UNLABELED] if label not in taught]:
        problems = [f"class {label!r} has no image for training" for label in missing]
        raise DataError(problems, "add some to the split train of the source, or set split.keep_given to false")
    return splits


def split_images(manifest: Manifest, groups: np.ndarray, valid: float, test: float, seed: int) -> list[str]:
    """Assign each image to ``train``, ``valid`` or ``test``, by class.

    A group is drawn by a hash of the seed and of one of its images: a number in 0…1, below `test` for testing, below
    `test` + `valid` for validation. So renaming an image or adding others moves none, unless they join its group. In
    classes of fewer than `FEW` groups, their order by this number decides instead, which gives the exact shares; adding
    an image to such a class moves very few others.

    A group counts for the smallest class in it; one larger than a class's share for validation or testing is for
    training, unless there are no smaller ones. Images without a class are split as one class would be; very few next
    to classes are for training.

    Args:
        manifest: the images.
        groups: the group of each image, 0…g − 1, int (n,), in one split; identical images must share one.
        valid, test: shares of each class; at least one image, unless it is 0. The rest is for training.
        seed: another one draws another split.

    Raises:
        DataError: classes have fewer groups than there are splits, or the shares leave none for training; it names all.
    """
    members = defaultdict[int, list[str]](list)
    for record, number in zip(manifest.records, groups.tolist(), strict=True):
        members[number].append(record.sha256)
    sizes = {number: len(set(digests)) for number, digests in members.items()}
    drawn = {number: _draw(min(digests), seed) for number, digests in members.items()}
    wanted = {"train", *(name for name, share in (("valid", valid), ("test", test)) if share)}
    owners = manifest.owners(groups)
    split_of, problems = dict[int, str](), list[str]()
    for owner, label in enumerate(manifest.folders):
        numbers = np.flatnonzero(owners == owner).tolist()
        if label == UNLABELED and manifest.classes and len(numbers) < len(wanted):
            split_of |= dict.fromkeys(numbers, "train")
            continue
        ordered = sorted(numbers, key=lambda number: (drawn[number], min(members[number])))
        parts = _split_by_number(ordered, drawn, sizes, valid, test) if len(numbers) >= FEW else {}
        if set(parts.values()) != wanted:
            parts = _split_by_order(ordered, sizes, valid, test)
        if set(parts.values()) != wanted:
            images = int((manifest.labels == owner).sum())
            problems.append(f"class {label!r} has too few distinct images of its own ({len(numbers)} among {images})")
        split_of |= parts
    if problems:
        raise DataError(problems, _ADVICE)
    return [split_of[number] for number in groups.tolist()]


def _split_by_number(
    groups: list[int], drawn: Mapping[int, float], sizes: Mapping[int, int], valid: float, test: float
) -> dict[int, str]:
    """Return the split of each group by its number alone; a split that gets none takes the first group for training."""
    total, split_of = sum(sizes[group] for group in groups), {}
    for group in groups:
        split = "test" if drawn[group] < test else "valid" if drawn[group] < test + valid else "train"
        share = {"test": test, "valid": valid, "train": 1}[split]
        split_of[group] = split if sizes[group] <= max(1, round(share * total)) else "train"
    for split, share in (("test", test), ("valid", valid)):
        if share and split not in split_of.values():
            split_of |= dict.fromkeys([group for group in groups if split_of[group] == "train"][:1], split)
    return split_of


def _split_by_order(groups: list[int], sizes: Mapping[int, int], valid: float, test: float) -> dict[int, str]:
    """Fill the test part, then the validation part, with groups in their order; return the split of each group."""
    total = sum(sizes[group] for group in groups)
    split_of = dict.fromkeys(groups, "train")
    for split, share in (("test", test), ("valid", valid)):
        if not share:
            continue
        wanted = max(1, round(share * total))
        for group in groups:
            if split_of[group] == "train" and sizes[group] <= wanted:
                split_of[group] = split
                wanted -= sizes[group]
        left = [group for group in groups if split_of[group] == "train"]
        if split not in split_of.values() and len(left) > 1:
            split_of[min(left, key=sizes.__getitem__)] = split
    return split_of


def _draw(sha256: str, seed: int) -> float:
    """Draw a number in 0…1 for an image."""
    digest = blake2b(sha256.encode(), digest_size=8, salt=seed.to_bytes(16, "little")).digest()
    return int.from_bytes(digest, "big") / 2**64
