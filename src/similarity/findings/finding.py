"""What an audit lists: a row for each thing that is probably wrong."""

from typing import Literal, NamedTuple, get_args

from similarity.dataset.manifest import Manifest

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
"""The kinds of findings; those first that more surely do harm."""


class Finding(NamedTuple):
    """A row of `data/audit.csv`: what was found, of which image, and by which other image, if by one.

    Attributes:
        finding: its kind.
        path: the key of the image; "" if it is about a class.
        label: its class.
        score: by which the findings of a kind are sorted, the worst first; `reason` says what it is.
        suggested: the class that the image rather seems to be of, if the finding is about that.
        other: the key of the other image.
        other_label: its class.
        reason: in words.
    """

    finding: FindingKind
    path: str
    label: str
    score: str
    suggested: str
    other: str
    other_label: str
    reason: str


def find_image(
    manifest: Manifest,
    finding: FindingKind,
    row: int,
    score: float,
    reason: str,
    other: int | None = None,
    suggested: str = "",
) -> Finding:
    """A finding about the image of a row, and about another one, if that is part of it."""
    record, second = manifest.records[row], None if other is None else manifest.records[other]
    pair = (second.path, second.label) if second else ("", "")
    return Finding(finding, record.path, record.label, f"{score:.6f}", suggested, *pair, reason)
