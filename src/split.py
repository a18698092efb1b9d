"""Stage `split`: decide which images are to learn from, to choose the best epoch by, and for the final figures."""

from pipeline.stage import counted, run_stage

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from similarity.data.dataset.duplicates import bounded_groups, differing_pairs, read_duplicates
from similarity.data.dataset.manifest import SPLIT_COLUMNS, SPLIT_NAMES, UNLABELED, Manifest, read_manifest
from similarity.data.files import Outputs, read_table, write_table
from similarity.errors import DataError
from similarity.layout import DUPLICATES, GIVEN_SPLITS, MANIFEST, SPLITS
from similarity.params import Params

FEW = 50  # groups; the shares of a class with fewer are exact
ADVICE = (
    "each class needs some, which are not copies of images in larger classes, for each of split.train, split.valid and "
    "split.test: add images, change the shares, or remove the class"
)


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings = read_manifest(MANIFEST), params.split
    identical, near = read_duplicates(DUPLICATES, manifest)
    groups = bounded_groups(manifest, identical, near, len(SPLIT_NAMES))
    listed = dict(read_table(GIVEN_SPLITS, SPLIT_COLUMNS)) if settings.keep_given else {}
    given = [listed.get(key, "") for key in manifest.keys]
    shares = {"test": settings.test, "valid": settings.valid}
    splits = complete_splits(manifest, given, groups, shares, params.base.seed)
    write_table(outputs.file(SPLITS), SPLIT_COLUMNS, zip(manifest.keys, splits, strict=True))
    parted, nearly_parted = (len(differing_pairs(pairs, splits).first) for pairs in (identical, near))
    train, valid, test = map(splits.count, SPLIT_NAMES)
    print(f"split: {train:,} training, {valid:,} validation and {test:,} test images")
    if any(given):
        drawn = sorted({split for split, kept in zip(splits, given, strict=True) if split != kept})
        print("split: kept those that the source gives" + (f"; drawn for others: {', '.join(drawn)}" if drawn else ""))
    if parted or nearly_parted:
        print(f"split: identical images in two splits: {counted(parted, 'pair')}; near duplicates: {nearly_parted:,}")


def complete_splits(
    manifest: Manifest, given: Sequence[str], groups: np.ndarray, shares: Mapping[str, float], seed: int
) -> list[str]:
    """Assign each image to a split: given splits stay, "" where none is given, and those that are missing are drawn.

    If no image with a class is given ``valid``, or none ``test``, this split is drawn from the images that are given
    ``train`` or nothing, in the proportion of its share to that of ``train``. If both are given, images that are given
    nothing are for training. Given splits may part identical images; only those that are drawn are kept together.

    Raises:
        DataError: classes have too few images to draw from, or none for training; it names all.
    """
    rows, records = np.arange(len(given)), manifest.records
    present = {given[row] for row in (manifest.labeled(rows) if manifest.classes else rows).tolist()}
    missing = {name: share for name, share in shares.items() if name not in present}
    splits = [split or "train" for split in given]
    pool = np.flatnonzero([split == "train" for split in splits])
    if missing and len(pool):
        total = 1 - shares["valid"] - shares["test"] + sum(missing.values())
        numbers = np.unique(groups[pool], return_inverse=True)[1]
        scaled = {name: share / total for name, share in missing.items()}
        part = Manifest([records[row] for row in pool])
        for row, split in zip(pool.tolist(), split_images(part, numbers, scaled, seed), strict=True):
            splits[row] = split
    taught = {record.label for record, split in zip(records, splits, strict=True) if split == "train"}
    if untaught := sorted({*(manifest.classes or [UNLABELED])} - taught):
        problems = [f"class {label!r} has no image for training" for label in untaught]
        raise DataError(problems, "add some to the split train of the source, or set split.keep_given to false")
    return splits


def split_images(manifest: Manifest, groups: np.ndarray, shares: Mapping[str, float], seed: int) -> list[str]:
    """Assign each image to ``train``, ``valid`` or ``test``, by class.

    A group is drawn by a hash of the seed and of one of its images: a number in 0…1, below the share of ``test`` for
    testing, in the next part for validation. So renaming an image or adding others moves none, unless they join its
    group. In classes of fewer than `FEW` groups, their order by this number decides instead, which gives the exact
    shares; adding an image to such a class moves very few others.

    A group counts for the smallest class in it; one larger than a class's share for validation or testing is for
    training, unless there are no smaller ones. Images without a class are split as one class would be; very few next
    to classes are for training.

    `groups` has the group of each image, 0…g − 1, int (n,); identical images must share one. A share that is not 0
    gives at least one image of each class.

    Raises:
        DataError: classes have fewer groups than there are splits, or the shares leave none for training; it names all.
    """
    members = defaultdict[int, set[str]](set)
    for record, number in zip(manifest.records, groups.tolist(), strict=True):
        members[number].add(record.sha256)
    sizes = {number: len(digests) for number, digests in members.items()}
    drawn = {number: _draw(min(digests), seed) for number, digests in members.items()}
    shares = {name: share for name, share in shares.items() if share}
    wanted, owners = {"train", *shares}, manifest.owners(groups)
    split_of, problems = dict[int, str](), list[str]()
    for owner, label in enumerate(manifest.folders):
        numbers = np.flatnonzero(owners == owner).tolist()
        if label == UNLABELED and manifest.classes and len(numbers) < len(wanted):
            split_of |= dict.fromkeys(numbers, "train")
            continue
        ordered = sorted(numbers, key=lambda number: (drawn[number], min(members[number])))
        parts = _split_by_number(ordered, drawn, sizes, shares) if len(numbers) >= FEW else {}
        if set(parts.values()) != wanted:
            parts = _split_by_order(ordered, sizes, shares)
        if set(parts.values()) != wanted:
            images = int((manifest.labels == owner).sum())
            problems.append(f"class {label!r} has too few distinct images of its own ({len(numbers)} among {images})")
        split_of |= parts
    if problems:
        raise DataError(problems, ADVICE)
    return [split_of[number] for number in groups.tolist()]


def _draw(sha256: str, seed: int) -> float:
    """Draw a number in 0…1 for an image."""
    digest = blake2b(sha256.encode(), digest_size=8, salt=seed.to_bytes(16, "little")).digest()
    return int.from_bytes(digest, "big") / 2**64


def _split_by_number(
    groups: list[int], drawn: Mapping[int, float], sizes: Mapping[int, int], shares: Mapping[str, float]
) -> dict[int, str]:
    """Return the split of each group by its number alone; a split that gets none takes the first group for training."""
    total, split_of = sum(sizes[group] for group in groups), dict.fromkeys(groups, "train")
    for group in groups:
        end = 0.0
        for split, share in shares.items():
            start, end = end, end + share
            if start <= drawn[group] < end and sizes[group] <= max(1, round(share * total)):
                split_of[group] = split
    for split in shares:
        if split not in split_of.values():
            split_of |= dict.fromkeys([group for group in groups if split_of[group] == "train"][:1], split)
    return split_of


def _split_by_order(groups: list[int], sizes: Mapping[int, int], shares: Mapping[str, float]) -> dict[int, str]:
    """Fill the test part, then the validation part, with groups in their order; return the split of each group."""
    total, split_of = sum(sizes[group] for group in groups), dict.fromkeys(groups, "train")
    for split, share in shares.items():
        wanted = max(1, round(share * total))
        for group in groups:
            if split_of[group] == "train" and sizes[group] <= wanted:
                split_of[group] = split
                wanted -= sizes[group]
        left = [group for group in groups if split_of[group] == "train"]
        if split not in split_of.values() and len(left) > 1:
            split_of[min(left, key=sizes.__getitem__)] = split
    return split_of


if __name__ == "__main__":
    run_stage(main)
