"""Queries and findings as rows of pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from similarity.findings.finding import Finding
from similarity.reporting.markup import Shot, row_of_pictures

_SHOWN_NEIGHBORS, _SHOWN_FINDINGS = 7, 8


class Query(NamedTuple):
    """A test image and its nearest training images, best first, with their cosines; its P@10 if it was scored."""

    key: str
    neighbors: list[tuple[str, float]]
    p_at_10: float | None = None

    @property
    def wrong_cosine(self) -> float:
        """The mean cosine of the neighbors of other classes: how sure a failure is."""
        return float(np.mean([cosine for key, cosine in self.neighbors if _label(key) != _label(self.key)] or [-1]))


class Album(NamedTuple):
    """The pictures of a run: previews by row, the row of each key, the words for a cosine, whether classes count."""

    preview: Callable[[int], np.ndarray]
    rows: Mapping[str, int]
    likeness: Callable[[float], str]
    has_classes: bool

    def shot(self, key: str, *lines: str, frame: str = "") -> Shot:
        return Shot(self.preview(self.rows[key]), key, lines, frame)

    def show(self, query: Query) -> str:
        """Show a query and its nearest images, in green frames if they have its class and in red if not."""
        label, shots = _label(query.key), [self.shot(query.key, "query", _label(query.key))]
        for key, cosine in query.neighbors[:_SHOWN_NEIGHBORS]:
            if key in self.rows:  # it may be one of an earlier run
                frame = ("same" if _label(key) == label else "other") if self.has_classes else ""
                shots.append(self.shot(key, self.likeness(cosine), _label(key), frame=frame))
        return row_of_pictures(shots)

    def show_findings(self, findings: Sequence[Finding]) -> str:
        """Show the images of findings, pairs side by side."""
        shots = []
        for each in (finding for finding in findings[:_SHOWN_FINDINGS] if finding.path in self.rows):
            shots.append(self.shot(each.path, each.label, *([f"rather {each.suggested}"] * bool(each.suggested))))
            if each.other:
                frame = "other" if each.is_across_classes else "same"
                same = "identical" if each.finding == "duplicate" else "nearly identical"
                shots.append(self.shot(each.other, each.other_label, same, frame=frame))
        return row_of_pictures(shots)


def _label(key: str) -> str:
    return key.split("/")[0]
