"""The images that are searched, with what is known of them."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

from similarity.data.dataset.manifest import SPLIT_NAMES, Manifest, read_manifest, read_splits
from similarity.data.vectors import normalize
from similarity.embedding.model import load_embedding_model
from similarity.engine.results import Index, Names, Options, Query
from similarity.engine.stores import InMemoryStore, LookUnavailableError, Parts, VectorStore
from similarity.errors import UserError
from similarity.finding import KINDS, Finding, FindingKind, read_findings
from similarity.index import load_forest
from similarity.layout import ANN_INDEX, ANN_SETTINGS, EMBEDDER, EMBEDDINGS, FINDINGS, MANIFEST, SPLITS

if TYPE_CHECKING:
    from similarity.engine.engine import Engine

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

    @property
    def indexes(self) -> tuple[Index, Index]:
        """The indexes that can be searched."""
        return "exact", self.vectors.backend

    def row(self, key: str) -> int:
        """Return the row of an image, or raise an `UnknownNameError`."""
        keys = self.manifest.keys
        row = bisect_left(keys, key)
        if row == len(keys) or keys[row] != key:
            raise unknown_name("image", key, keys)
        return row

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

        A class or split that does not exist raises a `UserError`.
        """
        if label is split is finding is not_label is None:
            return None
        folders, allowed = self.manifest.folders, np.ones(len(self.vectors), bool)
        for names, is_wanted in ((label, True), (not_label, False)):
            listed = [names] if isinstance(names, str) else names
            if listed is not None:
                if missing := [name for name in listed if name not in folders]:
                    raise unknown_name("class", missing[0], folders)
                allowed &= np.isin(self.manifest.labels, [folders.index(name) for name in listed]) == is_wanted
        if split is not None:
            if split not in SPLIT_NAMES:
                raise UserError(f"split: {split!r} is none of {', '.join(SPLIT_NAMES)}")
            allowed &= self.splits == SPLIT_NAMES.index(split) if self.splits is not None else False
        if finding is not None:
            rows = [row for row, kinds in self._kinds.items() if finding in {"any", "none", *kinds}]
            allowed &= np.isin(np.arange(len(allowed)), rows, invert=finding == "none")
        return allowed

    def combine(self, query: Query, embeddings: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """Join a query and the embeddings of its images that are not indexed to one embedding, float32 (E,).

        Also return the rows that it names, which are no answers to it. An unknown key, or an embedding of another
        length or with numbers that are not finite, raises a `UserError`.
        """
        size = self.vectors.parts.size
        if any(vector.shape != (size,) or not np.isfinite(vector).all() for vector in query.vectors):
            raise UserError(f"an embedding is {size} finite numbers")
        keys, like, unlike = ([self.row(key) for key in keys] for keys in (query.keys, query.like, query.unlike))
        known = self.vectors[[] if query.region else keys]
        asked = np.stack([*embeddings, *query.vectors, *known]).astype(np.float32)
        return self.vectors.parts.combine(asked, self.vectors[like], self.vectors[unlike]), [*keys, *like, *unlike]

    def search(self, embedding: np.ndarray, options: Options, excluded: Sequence[int] = ()) -> Found:
        """Find the `options.end` images most similar to an embedding, float32 (E,), but for some rows.

        Raises:
            UnknownNameError: there is no such class or index.
            LookUnavailableError: the embeddings have only one part, or the index is not the exact one.
        """
        is_fast = self.vectors.backend == "annoy" and len(self.vectors) <= _EXACT_UP_TO
        index = options.index or ("exact" if is_fast or options.look is not None else self.vectors.backend)
        if index not in self.indexes:
            raise UnknownNameError(f"there is no index by {index}, but by {self.vectors.backend}")
        if options.look is not None and index != "exact":
            raise LookUnavailableError(f"the index by {index} has one look for all queries: search with the exact one")
        allowed = self.allow(options.label, options.split, options.finding, options.not_label)
        if excluded:
            allowed = np.ones(len(self.vectors), bool) if allowed is None else allowed
            allowed[list(excluded)] = False
        matches = len(self.vectors) if allowed is None else int(np.count_nonzero(allowed))
        if not matches:
            return Found(np.empty(0, np.int64), np.empty(0), 0, index)
        unit = normalize(embedding[None])[0]
        found = self.vectors.nearest(unit, min(options.end, matches), index == "exact", options.look, allowed)
        return Found(*found, matches, index)

    @cached_property
    def finding_rows(self) -> dict[str, int]:
        """The row of each image that a finding names, by its key."""
        named = {key for each in self.findings or () for key in (each.path, each.other)}
        return {key: row for row, key in enumerate(self.manifest.keys) if key in named}

    @cached_property
    def _kinds(self) -> dict[int, list[FindingKind]]:
        kinds = {row: list[FindingKind]() for row in self.finding_rows.values()}
        for each in sorted(self.findings or (), key=lambda each: KINDS.index(each.finding)):
            for key in {each.path, each.other} & self.finding_rows.keys():
                if each.finding not in (known := kinds[self.finding_rows[key]]):
                    known.append(each.finding)
        return kinds


def open_gallery(project: Engine) -> Gallery:
    """Open the images of a project with their embeddings, or those that are published."""
    model = load_embedding_model(project.checked(EMBEDDER))
    parts = Parts(model.size, model.class_size, model.visual_weight)
    findings = read_findings(path) if (path := project.optional(FINDINGS)) else None
    if project.is_published:
        from similarity.engine.published import VARIABLE, open_table, table_of

        return open_table(os.environ.get(VARIABLE, ""), table_of(project.lock), parts, findings)
    root, splits = project.root, None
    project.lock.check(MANIFEST, EMBEDDINGS, ANN_INDEX, ANN_SETTINGS)
    manifest, units = read_manifest(root / MANIFEST), normalize(np.load(root / EMBEDDINGS))
    search_k = orjson.loads((root / ANN_SETTINGS).read_bytes())["search_k"]
    store = InMemoryStore(units, load_forest(root / ANN_INDEX, parts.size), search_k, parts)
    if path := project.optional(SPLITS):
        splits = np.full(len(units), -1, np.int8)
        for name, rows in read_splits(path, manifest).items():
            splits[rows] = SPLIT_NAMES.index(name)
    return Gallery(manifest, store, splits, findings)


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """Return the error for a name that is none of the known ones; its message lists similar ones."""
    from rapidfuzz import process

    name = name[:_MAX_NAME_LENGTH]
    near = ", ".join(match for match, _, _ in process.extract(name, known, limit=3, score_cutoff=50))
    return UnknownNameError(f"no {kind} {name!r} is indexed" + (f"; near it are: {near}" if near else ""))
