"""Findings as people read them: in words, and what matters most first."""

from collections.abc import Iterable
from pathlib import Path

from similarity.errors import UserError
from similarity.files import read_table
from similarity.findings.finding import KINDS, Finding


def read_findings(path: Path) -> list[Finding]:
    """Read what the stage `audit` wrote, the most important first.

    Raises:
        UserError: the file has other columns or an unknown kind of finding.
    """
    rows = list(read_table(path, Finding._fields))
    if unknown := {kind for kind, *_ in rows} - set(KINDS):
        raise UserError(f"{path} has a finding {min(unknown)!r}, which is of another version: run `dvc repro`")
    return by_importance(map(Finding._make, rows))


def by_importance(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings: pairs across classes first, then by kind; those of a kind keep their order, the worst first."""
    return sorted(findings, key=lambda each: (not each.is_across_classes, KINDS.index(each.finding)))


def explain(finding: Finding) -> str:
    """Explain in a sentence what was found."""
    kind, reason = finding.finding, finding.reason
    score = f"{float(finding.score):.3g}" if finding.score else ""
    if kind in {"wrong_label", "doubtful_label"}:
        adverb = "Probably" if kind == "wrong_label" else "Perhaps"
        return f"{adverb} of class {finding.suggested}: the label is wrong with a probability of {score}."
    if finding.other:
        amount, measure = ("The same as", reason) if kind == "duplicate" else ("Nearly the same as", None)
        clash = f", which is of class {finding.other_label}" if finding.is_across_classes else ""
        return f"{amount} {finding.other}{clash} ({measure or f'correlation {score}'})."
    if kind == "outlier":
        return f"Unlike all others ({reason}: {score})."
    return f"{reason[:1].upper()}{reason[1:]}."
