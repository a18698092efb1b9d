"""What is known of the indexed images beside their looks: their split, and what the audit found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from service.schema import FindingCount, FindingEntry, FindingFilter, Split
from similarity.dataset.manifest import SPLIT_NAMES, Manifest
from similarity.findings.finding import KINDS, Finding, FindingKind
from similarity.findings.listing import explain


@dataclass(frozen=True)
class Annotations:
    """What is known of the images.

    Attributes:
        manifest: the images, N of them.
        splits: rows of each split, int64 (n,), if the images were split.
        findings: the most important first, if there was an audit.
    """

    manifest: Manifest
    splits: Mapping[str, np.ndarray] | None
    findings: Sequence[Finding] | None

    def split(self, row: int) -> Split | None:
        """The split of an image."""
        place = self._splits[row]
        return None if place < 0 else cast("Split", SPLIT_NAMES[place])

    def split_sizes(self) -> list[tuple[Split, int]]:
        """How many images each split has; nothing if the images were not split."""
        return [(cast("Split", name), len(rows)) for name, rows in (self.splits or {}).items()]

    def kinds(self, row: int) -> list[FindingKind]:
        """The kinds of findings about an image, the most important first."""
        return self._kinds.get(row, [])

    def allow(self, split: Split | None, finding: FindingFilter | None) -> np.ndarray | None:
        """The images of a split that have a finding of a kind, any finding, or none: bool (N,); None is all."""
        if split is finding is None:
            return None
        allowed = np.ones(len(self.manifest.records), bool)
        if split is not None:
            allowed &= self._splits == SPLIT_NAMES.index(split)
        if finding is not None:
            found = [row for row, kinds in self._kinds.items() if finding in {"any", "none", *kinds}]
            has_finding = np.zeros(len(allowed), bool)
            has_finding[found] = True
            allowed &= ~has_finding if finding == "none" else has_finding
        return allowed

    def find(self, kind: FindingKind | None, label: str | None, key: str | None) -> list[Finding]:
        """The findings of a kind, about a class or an image."""
        return [
            each
            for each in self.findings or ()
            if kind in {None, each.finding}
            and label in {None, each.label, each.other_label}
            and key in {None, each.path, each.other}
        ]

    @cached_property
    def counts(self) -> list[FindingCount]:
        """How many findings there are of each kind that occurs."""
        kinds = [each.finding for each in self.findings or ()]
        return [FindingCount(kind=kind, findings=kinds.count(kind)) for kind in KINDS if kind in kinds]

    def entry(self, finding: Finding) -> FindingEntry:
        """A finding as it is told."""
        return FindingEntry(
            kind=finding.finding,
            key=finding.path or None,
            label=finding.label or None,
            indexed=finding.path in self._rows,
            suggested=finding.suggested or None,
            other=finding.other or None,
            other_label=finding.other_label or None,
            score=float(finding.score) if finding.score else None,
            explanation=explain(finding),
        )

    @cached_property
    def _splits(self) -> np.ndarray:
        """The place in `SPLIT_NAMES` of each image's split, int8 (N,); −1 if it has none."""
        places = np.full(len(self.manifest.records), -1, np.int8)
        for name, rows in (self.splits or {}).items():
            places[rows] = SPLIT_NAMES.index(name)
        return places

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The rows of the images that findings name."""
        named = {key for each in self.findings or () for key in (each.path, each.other)}
        return {key: row for row, key in enumerate(self.manifest.keys) if key in named}

    @cached_property
    def _kinds(self) -> dict[int, list[FindingKind]]:
        """The kinds of findings about each image that has any."""
        kinds: dict[int, list[FindingKind]] = {}
        for each in sorted(self.findings or (), key=lambda each: KINDS.index(each.finding)):
            for row in (self._rows.get(key) for key in (each.path, each.other)):
                if row is not None and each.finding not in kinds.setdefault(row, []):
                    kinds[row].append(each.finding)
        return kinds
