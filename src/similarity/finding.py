"""What an audit lists: a row for each thing that is probably wrong, and how people read it."""

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.files import read_table
from similarity.errors import UserError

FindingKind = Literal[
    "wrong_label", "duplicate", "near_duplicate", "unreadable", "outlier", "odd", "doubtful_label", "class_imbalance",
    "class_not_judged",
]  # fmt: skip
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
    score: str = ""
    suggested: str = ""
    other: str = ""
    other_label: str = ""
    reason: str = ""

    @property
    def is_across_classes(self) -> bool:
        """Whether it is about two images of different classes, so that one of the labels is wrong."""
        return bool(self.other) and self.label != self.other_label and UNLABELED not in {self.label, self.other_label}


def read_findings(path: Path) -> list[Finding]:
    """Read what the stage `audit` wrote: pairs across classes first, then by kind, and the worst of a kind first.

    Raises:
        UserError: the file has other columns or an unknown kind of finding.
    """
    findings = list(map(Finding._make, read_table(path, Finding._fields)))
    if unknown := {each.finding for each in findings} - set(KINDS):
        raise UserError(f"{path} has a finding {min(unknown)!r}, which this version does not know: run `dvc repro`")
    return sorted(findings, key=lambda each: (not each.is_across_classes, KINDS.index(each.finding)))


def explain(finding: Finding) -> str:
    """Explain in a sentence what was found."""
    kind, reason, score = finding.finding, finding.reason, float(finding.score or 0)
    if kind in {"wrong_label", "doubtful_label"}:
        return f"Looks more like {finding.suggested} ({score:.0%}): {reason}."
    if finding.other:
        clash = f", which is of class {finding.other_label}" if finding.is_across_classes else ""
        if kind == "duplicate":
            return f"The same as {finding.other}{clash} ({reason})."
        return f"Nearly the same as {finding.other}{clash} (correlation {score:.3g})."
    if kind == "outlier":
        return f"Unlike all others ({reason}: {score:.3g})."
    return f"{reason[:1].upper()}{reason[1:]}."
