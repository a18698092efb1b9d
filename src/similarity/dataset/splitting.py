"""Which images are learned from, which choose the best epoch, and which are only for the final figures."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from similarity.dataset.manifest import SPLIT_NAMES, ImageRecord
from similarity.errors import UserError


def split_images(records: Sequence[ImageRecord], valid: float, test: float, seed: int) -> list[str]:
    """Assigns each image to ``train``, ``valid`` or ``test``, stratified by class.

    Images are drawn by a hash of the seed and their bytes: renaming an image or adding others barely moves it, and
    byte-identical images, in whatever class, always share a split (they count once, in the class that comes first).

    Args:
        records: the images.
        valid: share of each class for validation; at least one image.
        test: share of each class for testing; at least one image. The rest is for training.
        seed: another one draws another split.

    Returns:
        The split of each record.

    Raises:
        UserError: a class has fewer distinct images than there are splits, or the shares leave none for training.
    """
    label_of = {record.sha256: record.label for record in reversed(records)}
    by_label: dict[str, list[str]] = {record.label: [] for record in records}
    for sha256, label in label_of.items():
        by_label[label].append(sha256)
    split_of: dict[str, str] = {}
    for label, members in sorted(by_label.items()):
        distinct = sorted(members, key=_draw(seed))
        tests, valids = (max(1, round(share * len(distinct))) for share in (test, valid))
        if len(distinct) < len(SPLIT_NAMES) or tests + valids >= len(distinct):
            raise UserError(
                f"class {label!r} has too few distinct images ({len(distinct)}) for the shares split.train, "
                "split.valid and split.test: add images, change the shares, or remove the class"
            )
        for i, sha256 in enumerate(distinct):
            split_of[sha256] = "test" if i < tests else "valid" if i < tests + valids else "train"
    return [split_of[record.sha256] for record in records]


def _draw(seed: int) -> Callable[[str], bytes]:
    salt = seed.to_bytes(16, "little")
    return lambda sha256: blake2b(sha256.encode(), salt=salt).digest()
