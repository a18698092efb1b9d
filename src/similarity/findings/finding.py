"""What an audit lists: a row for each thing that is probably wrong."""

from typing import Literal, NamedTuple, get_args

from similarity.dataset.manifest import UNLABELED, Manifest

FindingKind = Literal[
    "wrong_label",
    "duplicate",
    "near_duplicate",
    "unreadable",
    "outlier",
    "odd",
    "doubtful_label",
    "class_imbalance",
    "class_not_judged",
]
KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
"""The kinds of findings; those that more surely do harm come first."""


class Finding(NamedTuple):
    """A row of `data/findings.csv`.

    Attributes:
        finding: its kind.
        path: the key of the image; "" if the finding is about a class.
        label: the image's class.
        score: orders the findings of a kind, the worst first; `reason` says what it is.
        suggested: the class that the image rather seems to belong to.
        other: the key of the other image of a pair.
        other_label: the class of the other image.
        reason: the explanation in words.
    """

    finding: FindingKind
    path: str
    label: str
    score: str
    suggested: str
    other: str
    other_label: str
    reason: str

    @property
    def is_across_classes(self) -> bool:
        """Whether it is about two images of different classes, so that one of the labels is wrong."""
        labels = {self.label, self.other_label}
        return bool(self.other) and len(labels) > 1 and UNLABELED not in labels


def find_image(
    manifest: Manifest,
    finding: FindingKind,
    row: int,
    score: float,
    reason: str,
    other: int | None = None,
    suggested: str = "",
) -> Finding:
    """Make a finding about the image in a row, and about another one if it is about a pair."""
    record, second = manifest.records[row], None if other is None else manifest.records[other]
    pair = (second.path, second.label) if second else ("", "")
    return Finding(finding, record.path, record.label, f"{score:.6f}", suggested, *pair, reason)
