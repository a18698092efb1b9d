"""The images that are searched, with what is known of them."""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.data.dataset.manifest import SPLIT_NAMES, Manifest
from similarity.data.vectors import normalize
from similarity.engine.results import Names, Options
from similarity.engine.stores import Index, LookUnavailableError, VectorStore
from similarity.errors import UserError
from similarity.findings.finding import KINDS, Finding, FindingKind

_EXACT_UP_TO = 1_000_000  # images; comparing a query with more takes longer than embedding it
_MAX_NAME_LENGTH = 200  # of names that similar spellings are searched for


class UnknownNameError(UserError):
    """There is no such key, class or index; the message lists similar keys or classes."""


@dataclass(frozen=True)
class Found:
    """The images most similar to a query."""

    rows: np.ndarray  # int64 (n,), best first
    cosines: np.ndarray  # float64 (n,)
    matches: int  # images that could be returned in all
    index: Index
    seconds: float


class ImageFiles(NamedTuple):
    """The files of indexed images, by key: in the folder of all images, or elsewhere if they were added later."""

    folder: Path
    added: Mapping[str, Path]

    def __truediv__(self, key: str) -> Path:
        """Return the file of an image."""
        return self.added.get(key, self.folder / key)


@dataclass(frozen=True)
class Gallery:
    """N images that are searched. Threads may share it."""

    manifest: Manifest
    vectors: VectorStore
    splits: np.ndarray | None = None  # place in `SPLIT_NAMES` of each image's split, int8 (N,), −1 if it has none
    findings: Sequence[Finding] | None = None  # of the audit, the most important first; None without an audit
    added: Mapping[str, Path] = field(default_factory=dict)  # files of images added since the last run, by key

    def __contains__(self, key: str) -> bool:
        """Whether there is an image with this key."""
        row, keys = bisect_left(self.manifest.keys, key), self.manifest.keys
        return row < len(keys) and keys[row] == key

    @property
    def indexes(self) -> tuple[Index, Index]:
        """The indexes that can be searched."""
        return "exact", self.vectors.backend

    @property
    def default_index(self) -> Index:
        """The index that is searched by default: the exact one in memory, as long as it is fast enough."""
        is_fast = self.vectors.backend == "annoy" and len(self.vectors) <= _EXACT_UP_TO
        return "exact" if is_fast else self.vectors.backend

    def row(self, key: str) -> int:
        """Return the row of an image.

        Raises:
            UnknownNameError: there is no such image.
        """
        if key not in self:
            raise unknown_name("image", key, self.manifest.keys)
        return bisect_left(self.manifest.keys, key)

    def split(self, row: int) -> str | None:
        """Return the split of an image."""
        place = -1 if self.splits is None else int(self.splits[row])
        return None if place < 0 else SPLIT_NAMES[place]

    def kinds(self, row: int) -> list[FindingKind]:
        """Return the kinds of findings about an image, the most important first."""
        return self._kinds.get(row, [])

    def allow(
        self, label: Names = None, split: str | None = None, finding: str | None = None, not_label: Names = None
    ) -> np.ndarray | None:
        """Return which images pass all filters, bool (N,), or None for all; findings are a kind, ``any`` or ``none``.

        Raises:
            UserError: there is no such class or split.
        """
        if label is split is finding is not_label is None:
            return None
        allowed = np.ones(len(self.manifest.records), bool)
        for names, is_wanted in ((label, True), (not_label, False)):
            if names is not None:
                places = [self._place(name) for name in ([names] if isinstance(names, str) else names)]
                allowed &= np.isin(self.manifest.labels, places) == is_wanted
        if split is not None:
            if split not in SPLIT_NAMES:
                raise UserError(f"split: {split!r} is none of {', '.join(SPLIT_NAMES)}")
            allowed &= self.splits == SPLIT_NAMES.index(split) if self.splits is not None else False
        if finding is not None:
            has_finding = np.zeros(len(allowed), bool)
            has_finding[[row for row, kinds in self._kinds.items() if finding in {"any", "none", *kinds}]] = True
            allowed &= ~has_finding if finding == "none" else has_finding
        return allowed

    def search(self, embedding: np.ndarray, options: Options, excluded: Sequence[int] = ()) -> Found:
        """Find the `options.end` images most similar to an embedding, float32 (E,), but for some rows.

        Raises:
            UnknownNameError: there is no such class or index.
            LookUnavailableError: the embeddings have only one part, or the index is not the exact one.
        """
        start, index = time.perf_counter(), self._index(options)
        allowed = self.allow(options.label, options.split, options.finding, options.not_label)
        if excluded:
            allowed = np.ones(len(self.vectors), bool) if allowed is None else allowed
            allowed[list(excluded)] = False
        matches = len(self.vectors) if allowed is None else int(np.count_nonzero(allowed))
        rows, cosines = np.empty(0, np.int64), np.empty(0)
        if count := min(options.end, matches):
            unit = normalize(embedding[None])[0]
            rows, cosines = self.vectors.nearest(unit, count, index == "exact", options.look, allowed)
        return Found(rows, cosines, matches, index, time.perf_counter() - start)

    @cached_property
    def finding_rows(self) -> dict[str, int]:
        """The row of each image that a finding names, by its key."""
        named = {key for each in self.findings or () for key in (each.path, each.other)}
        return {key: row for row, key in enumerate(self.manifest.keys) if key in named}

    @cached_property
    def _kinds(self) -> dict[int, list[FindingKind]]:
        kinds: dict[int, list[FindingKind]] = {}
        for each in sorted(self.findings or (), key=lambda each: KINDS.index(each.finding)):
            for row in (self.finding_rows.get(key) for key in (each.path, each.other)):
                if row is not None and each.finding not in kinds.setdefault(row, []):
                    kinds[row].append(each.finding)
        return kinds

    def _place(self, label: str) -> int:
        if label not in self.manifest.folders:
            raise unknown_name("class", label, self.manifest.folders)
        return self.manifest.folders.index(label)

    def _index(self, options: Options) -> Index:
        index = options.index or (self.default_index if options.look is None else "exact")
        if index not in self.indexes:
            raise UnknownNameError(f"there is no index by {index}, but by {self.vectors.backend}")
        if options.look is not None and index != "exact":
            raise LookUnavailableError(f"the index by {index} has one look for all queries: search with the exact one")
        return index


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """Return the error for a name that is none of the known ones; its message lists similar ones."""
    from rapidfuzz import process

    name = name[:_MAX_NAME_LENGTH]
    near = ", ".join(match for match, _, _ in process.extract(name, known, limit=3, score_cutoff=50))
    return UnknownNameError(f"no {kind} {name!r} is indexed" + (f"; near it are: {near}" if near else ""))
