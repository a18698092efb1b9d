"""Queries and findings as rows of pictures."""

import base64
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image

from similarity.findings.finding import Finding

_SHOWN_NEIGHBORS, _SHOWN_FINDINGS = 7, 8
_SIDE, _QUALITY = 120, 70  # pixels, the longest of a picture; of WebP


class Query(NamedTuple):
    """A test image and its nearest training images, best first, with their cosines; its P@10 if it was scored."""

    key: str
    neighbors: list[tuple[str, float]]
    p_at_10: float | None = None

    @property
    def wrong_cosine(self) -> float:
        """The mean cosine of the neighbors of other classes: how sure a failure is."""
        return float(np.mean([cosine for key, cosine in self.neighbors if _label(key) != _label(self.key)] or [-1]))


class Shot(NamedTuple):
    """A picture, as an address with its content, with a caption; its frame is `same`, `other` or none."""

    picture: str
    key: str
    lines: Sequence[str]
    frame: str = ""


class Album(NamedTuple):
    """The pictures of a run: previews by row, the row of each key, the words for a cosine, whether classes count."""

    preview: Callable[[int], np.ndarray]
    rows: Mapping[str, int]
    likeness: Callable[[float], str]
    has_classes: bool

    def show(self, query: Query) -> list[Shot]:
        """Show a query and its nearest images, in green frames if they have its class and in red if not."""
        label, shots = _label(query.key), [self._shot(query.key, "query", _label(query.key))]
        for key, cosine in query.neighbors[:_SHOWN_NEIGHBORS]:
            if key in self.rows:  # it may be one of an earlier run
                frame = ("same" if _label(key) == label else "other") if self.has_classes else ""
                shots.append(self._shot(key, self.likeness(cosine), _label(key), frame=frame))
        return shots

    def show_findings(self, findings: Sequence[Finding]) -> list[Shot]:
        """Show the images of findings, pairs side by side."""
        shots = []
        for each in (finding for finding in findings[:_SHOWN_FINDINGS] if finding.path in self.rows):
            shots.append(self._shot(each.path, each.label, *([f"rather {each.suggested}"] * bool(each.suggested))))
            if each.other:
                frame = "other" if each.is_across_classes else "same"
                same = "identical" if each.finding == "duplicate" else "nearly identical"
                shots.append(self._shot(each.other, each.other_label, same, frame=frame))
        return shots

    def _shot(self, key: str, *lines: str, frame: str = "") -> Shot:
        image, buffer = Image.fromarray(np.ascontiguousarray(self.preview(self.rows[key]))), io.BytesIO()
        image.thumbnail((_SIDE, _SIDE))
        image.save(buffer, "WEBP", quality=_QUALITY)
        return Shot(embed(buffer.getvalue(), "image/webp"), key, lines, frame)


def embed(content: bytes, kind: str) -> str:
    """Return an address that holds its content."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def read_queries(table: str, scores: Mapping[str, float] = MappingProxyType({})) -> list[Query]:
    """Read the test images with their neighbors, by the text of the table that `evaluate` wrote."""
    rows = groupby(csv.DictReader(io.StringIO(table)), itemgetter("path"))
    return [
        Query(key, [(row["neighbor"], float(row["cosine"])) for row in found], scores.get(key)) for key, found in rows
    ]


def _label(key: str) -> str:
    return key.split("/")[0]
