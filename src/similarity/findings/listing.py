"""Findings as people read them: in words, and what matters most first."""

from collections.abc import Iterable
from pathlib import Path

from similarity.dataset.manifest import UNLABELED
from similarity.errors import UserError
from similarity.files import read_table
from similarity.findings.finding import KINDS, Finding

_ABOUT_LABELS = frozenset({"wrong_label", "doubtful_label"})


def read_findings(path: Path) -> list[Finding]:
    """Reads what the stage `audit` wrote, the most important first.

    Raises:
        UserError: it is not such a file.
    """
    return by_importance(_as_finding(path, row) for row in read_table(path, Finding._fields))


def _as_finding(path: Path, row: list[str]) -> Finding:
    kind, *others = row
    if kind not in KINDS:
        raise UserError(f"{path} has a finding {kind!r}, which is of another version: run `dvc repro`")
    return Finding(kind, *others)


def by_importance(findings: Iterable[Finding]) -> list[Finding]:
    """Sorts findings: pairs of one image in two classes, one of which is wrong, then by kind; those of a kind stay in
    their order, the worst first.
    """
    return sorted(findings, key=lambda each: (not is_across_classes(each), KINDS.index(each.finding)))


def is_across_classes(finding: Finding) -> bool:
    """Whether it is about two images of different classes."""
    labels = {finding.label, finding.other_label}
    return bool(finding.other) and len(labels) > 1 and UNLABELED not in labels


def explain(finding: Finding) -> str:
    """Says in a sentence what was found."""
    if finding.finding in _ABOUT_LABELS:
        adverb = "Probably" if finding.finding == "wrong_label" else "Perhaps"
        return f"{adverb} of class {finding.suggested}: the label is wrong with a probability of {_rounded(finding)}."
    if finding.other:
        amount = "The same as" if finding.finding == "duplicate" else "Nearly the same as"
        clash = f", which is of class {finding.other_label}" if is_across_classes(finding) else ""
        measure = f" ({finding.reason})" if finding.finding == "duplicate" else f" (correlation {_rounded(finding)})"
        return f"{amount} {finding.other}{clash}{measure}."
    if finding.finding == "outlier":
        return f"Unlike all others ({finding.reason}: {_rounded(finding)})."
    return f"{finding.reason[:1].upper()}{finding.reason[1:]}."


def _rounded(finding: Finding) -> str:
    return f"{float(finding.score):.3g}"
