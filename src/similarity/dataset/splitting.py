"""Which images are learned from, which choose the best epoch, and which are only for the final figures."""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b

import numpy as np

from similarity.dataset.manifest import UNLABELED, ImageRecord, Manifest
from similarity.errors import DataError

_ADVICE = (
    "each class needs some for each of split.train, split.valid and split.test: add images, change the shares, or "
    "remove the class"
)


def complete_splits(
    manifest: Manifest,
    given: Sequence[str],
    group: Callable[[np.ndarray], np.ndarray],
    valid: float,
    test: float,
    seed: int,
) -> list[str]:
    """Assigns each image to a split: those that are given stay, and what they lack is drawn.

    If no image with a class is given ``valid``, or none ``test``, this split is drawn from the images that are given
    ``train`` or nothing, in the proportion of its share to that of ``train``. If both are given, images that are given
    nothing are for training. Given splits may part identical images; only those that are drawn are kept together.

    Args:
        manifest: the images.
        given: the split of each image, "" where none is given.
        group: maps rows, int64 (m,), to the numbers of their images' groups, as `split_images` takes them.
        valid: share of each class for validation.
        test: share of each class for testing.
        seed: another one draws another split.

    Returns:
        The split of each image.

    Raises:
        DataError: classes have too few images to draw from, or none for training; it names all.
    """
    rows = np.arange(len(given))
    with_class = manifest.labeled(rows) if manifest.classes else rows
    present = {given[row] for row in with_class.tolist()}
    pool = np.flatnonzero([split in {"", "train"} for split in given])
    shares = {name: share for name, share in (("valid", valid), ("test", test)) if name not in present}
    drawn = _draw_lacking(manifest, pool, group, shares, 1 - valid - test, seed)
    splits = [drawn.get(row, split) for row, split in enumerate(given)]
    _check_training(manifest, splits)
    return splits


def _draw_lacking(
    manifest: Manifest,
    pool: np.ndarray,
    group: Callable[[np.ndarray], np.ndarray],
    shares: Mapping[str, float],
    train: float,
    seed: int,
) -> dict[int, str]:
    """Draws some splits from a pool of rows, int64 (m,); all that is left is for training. Gives each row's split."""
    if not (shares and len(pool)):
        return dict.fromkeys(pool.tolist(), "train")
    total = train + sum(shares.values())
    valid, test = (shares.get(name, 0) / total for name in ("valid", "test"))
    return dict(zip(pool.tolist(), split_images(manifest.of(pool), group(pool), valid, test, seed), strict=True))


def _check_training(manifest: Manifest, splits: Sequence[str]) -> None:
    taught = {record.label for record, split in zip(manifest.records, splits, strict=True) if split == "train"}
    if missing := [label for label in manifest.classes or [UNLABELED] if label not in taught]:
        problems = [f"class {label!r} has no image for training" for label in missing]
        raise DataError(problems, "add some to the split train of the source, or set split.keep_given to false")


def split_images(manifest: Manifest, groups: np.ndarray, valid: float, test: float, seed: int) -> list[str]:
    """Assigns each image to ``train``, ``valid`` or ``test``, stratified by class.

    Groups are drawn by a hash of the seed and of their images' bytes: renaming an image or adding others barely moves
    it. A group counts for the smallest class in it. What is larger than a class's share for validation or testing is
    for training, unless there is nothing smaller, so that a few large groups do not turn the shares upside down. Images
    without a class are split as one class would be; of very few beside classes, all are for training.

    Args:
        manifest: the images.
        groups: images of the same group share a split, int (n,); identical images must share a group.
        valid: share of each class for validation; at least one image, unless it is 0.
        test: share of each class for testing; at least one image, unless it is 0. The rest is for training.
        seed: another one draws another split.

    Returns:
        The split of each image.

    Raises:
        DataError: classes have fewer groups than there are splits, or the shares leave none for training; it names all.
    """
    members: dict[int, list[ImageRecord]] = {}
    for record, number in zip(manifest.records, groups.tolist(), strict=True):
        members.setdefault(number, []).append(record)
    by_label: dict[str, list[int]] = {label: [] for label in manifest.folders}
    owners = [manifest.folders[owner] for owner in manifest.owners(groups).tolist()]
    for number, owner in enumerate(owners):
        by_label[owner].append(number)
    sizes = {number: len({image.sha256 for image in images}) for number, images in members.items()}
    drawn = {number: min(_draw(image.sha256, seed) for image in images) for number, images in members.items()}
    wanted = {"train", *(name for name, share in (("valid", valid), ("test", test)) if share)}
    split_of: dict[int, str] = {}
    scarce = {}
    for label, numbers in sorted(by_label.items()):
        if label == UNLABELED and len(numbers) < len(wanted) and len(by_label) > 1:
            split_of |= dict.fromkeys(numbers, "train")
            continue
        parts = _split_class(sorted(numbers, key=drawn.__getitem__), sizes, valid, test)
        if set(parts.values()) != wanted:
            scarce[label] = len(numbers)
        split_of |= parts
    if scarce:
        raise DataError(_shortages(scarce, manifest.records, [owners[number] for number in groups.tolist()]), _ADVICE)
    return [split_of[number] for number in groups.tolist()]


def _split_class(drawn: list[int], sizes: dict[int, int], valid: float, test: float) -> dict[int, str]:
    """Fills the test part, then the validation part, with groups in the order drawn; gives the split of each group."""
    total = sum(sizes[number] for number in drawn)
    split_of = dict.fromkeys(drawn, "train")
    for split, share in (("test", test), ("valid", valid)):
        if not share:
            continue
        wanted = max(1, round(share * total))
        for number in drawn:
            if split_of[number] == "train" and sizes[number] <= wanted:
                split_of[number] = split
                wanted -= sizes[number]
        left = [number for number in drawn if split_of[number] == "train"]
        if split not in split_of.values() and len(left) > 1:
            split_of[min(left, key=sizes.__getitem__)] = split
    return split_of


def _shortages(scarce: Mapping[str, int], records: Sequence[ImageRecord], owner_of: Sequence[str]) -> list[str]:
    """Says of each class that cannot be split, given with the number of its groups, why that is so."""
    members: dict[str, list[tuple[str, str]]] = {label: [] for label in scarce}
    holders: dict[str, set[str]] = {}
    for record, owner in zip(records, owner_of, strict=True):
        holders.setdefault(record.sha256, set()).add(record.label)
        if record.label in scarce:
            members[record.label].append((record.sha256, owner))
    return [_shortage(label, count, members[label], holders) for label, count in scarce.items()]


def _shortage(
    label: str, distinct: int, members: Sequence[tuple[str, str]], holders: Mapping[str, Collection[str]]
) -> str:
    """Tells whether a class has few images, or few that are not copies; `members` are its digests and their owners."""
    problem = f"class {label!r} has too few distinct images ({distinct})"
    elsewhere = [(digest, owner) for digest, owner in members if owner != label]
    if not elsewhere:
        return problem if distinct == len(members) else f"{problem[:-1]} among {len(members)})"
    identical = all(len(holders[digest]) > 1 for digest, _ in elsewhere)
    copies = "copies of" if identical else "copies of, or nearly the same as,"
    count = f"all {len(members)}" if len(elsewhere) == len(members) else f"{len(elsewhere)} of {len(members)}"
    return f"{problem}: {count} are {copies} images in {', '.join(sorted({repr(owner) for _, owner in elsewhere}))}"


def _draw(sha256: str, seed: int) -> bytes:
    return blake2b(sha256.encode(), salt=seed.to_bytes(16, "little")).digest()
