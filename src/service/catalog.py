"""What the service answers from: the engine's results in the words of the API."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast
from unicodedata import normalize

import numpy as np
from fastapi import HTTPException

from service import schema
from service.forms import FindingsQuery, ImagesQuery, SearchOptions
from service.image_files import read_image_bytes
from service.schema import Answer, EmbeddingMap, FindingEntry, FindingPage, ImageEntry, ImagePage, Info, SearchResult
from similarity.data.dataset.manifest import SPLIT_NAMES, ImageRecord
from similarity.data.features.extractor import describe as describe_backbone
from similarity.engine.gallery import Gallery
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Failure, Prepared, Query, Result
from similarity.engine.stores import Index
from similarity.findings.finding import KINDS, Finding, FindingKind, explain
from similarity.layout import ANN_INDEX, EMBEDDER, MANIFEST

_MAX_POINTS = 20_000  # of the map: more than a screen can show


@dataclass(frozen=True)
class Catalog:
    """The images and the model of one run.

    Attributes:
        engine: searches; all of it is loaded.
        info: describes it.
        version: differs from that of a later state of the files.
    """

    engine: ImageIndex
    info: Info
    version: str

    @property
    def gallery(self) -> Gallery:
        """The images."""
        return self.engine.gallery

    def search(self, query: Query, options: SearchOptions, any_distance: bool = False) -> SearchResult:
        """Find the images most similar to a query.

        Raises:
            Exception: the query cannot be answered; see `reply_to`.
        """
        if query.region and not query.images:
            query = replace(query, images=(read_image_bytes(self.engine.images, self.record(query.keys[0])),))
        [found] = self.search_each([query], options, any_distance)
        if isinstance(found, Exception):
            raise found
        return found

    def search_each(
        self, queries: Sequence[Query], options: SearchOptions, any_distance: bool
    ) -> list[SearchResult | Exception]:
        """Answer several queries; one that fails has its error in its place."""
        return [
            each.error if isinstance(each, Failure) else self._search(each, options, any_distance)
            for each in self.engine.prepare(queries)
        ]

    def _search(self, prepared: Prepared, options: SearchOptions, any_distance: bool) -> SearchResult:
        indexes: list[Index | None] = [options.index]
        if options.compare and options.look is None:
            first_index = options.index or self.gallery.default_index
            indexes = [first_index, *(index for index in self.gallery.indexes if index != first_index)]
        results = [self.engine.find(prepared, options.as_engine_options(index, any_distance)) for index in indexes]
        first, query = results[0], prepared.query
        uploads = len(query.images) - (len(query.keys) if query.region else 0)
        queries = [
            schema.Query(key=None, label=None, width=width, height=height, split=None, findings=[])
            for _, _, (width, height) in prepared.embedded[:uploads]
        ]
        queries += [schema.Query(**self._facts(self.gallery.row(key))) for key in query.keys]
        novelty = None
        if first.distance is not None and first.max_distance is not None:
            novelty = schema.Novelty(distance=first.distance, max_distance=first.max_distance)
        return SearchResult(
            query=queries[0],
            queries=queries,
            answer=self._as_answer(first),
            comparison=self._as_answer(results[1]) if len(results) > 1 else None,
            embed_milliseconds=None if prepared.seconds is None else 1000 * prepared.seconds,
            similar=first.similar,
            novelty=novelty,
        )

    def _as_answer(self, result: Result) -> Answer:
        return Answer(
            index=result.index,
            source="inverted index" if result.matches is None else "search",
            milliseconds=1000 * result.seconds,
            matches=len(self.engine) - 1 if result.matches is None else result.matches,
            neighbors=[
                schema.Neighbor(
                    likeness=each.likeness,
                    words=each.words,
                    cosine=each.cosine,
                    **self._facts(self.gallery.row(each.key)),
                )
                for each in result.neighbors
            ],
        )

    def _facts(self, row: int) -> dict[str, Any]:
        """Return what answers say about an image."""
        record, split = self.gallery.manifest.records[row], self.gallery.split(row)
        size = {"width": record.width, "height": record.height}
        return {"key": record.path, "label": record.label, "split": split, "findings": self.gallery.kinds(row), **size}

    def record(self, key: str) -> ImageRecord:
        """Return the record of an image, or raise UnknownNameError."""
        return self.gallery.manifest.records[self.gallery.row(key)]

    def image_page(self, query: ImagesQuery) -> ImagePage:
        """List images by key; with a part of a name, the best match first."""
        allowed = self.gallery.allow(query.label, query.split, query.finding)
        rows = np.arange(len(self.engine)) if allowed is None else np.flatnonzero(allowed)
        if query.name is not None:
            rows = rank_names(self._names, query.name, rows)
        images = [ImageEntry(**self._facts(row)) for row in rows[query.entries].tolist()]
        return ImagePage(images=images, **query.describe_page(len(rows)))

    @cached_property
    def _names(self) -> list[str]:
        return [folded(key.rpartition("/")[2]) for key in self.gallery.manifest.keys]

    def embedding_map(self) -> EmbeddingMap:
        """Return the images as points in the plane, evenly chosen if there are too many; 404 without a map."""
        if (positions := self.engine.map.get("all")) is None:
            raise HTTPException(404, "There is no map of these images: run `dvc repro`.")
        manifest, gallery, look = self.gallery.manifest, self.gallery, self.engine.map.get("look")
        rows = np.unique(np.linspace(0, len(positions) - 1, _MAX_POINTS).astype(int))
        places: dict[FindingKind, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            for kind in gallery.kinds(row):
                places.setdefault(kind, []).append(place)
        return EmbeddingMap(
            classes=manifest.folders,
            keys=[manifest.keys[row] for row in rows],
            labels=manifest.labels[rows].tolist(),
            splits=[cast("schema.Split | None", gallery.split(row)) for row in rows],
            findings=places,
            look=schema.Layout(**_places(look[rows])) if look is not None and gallery.vectors.parts.are_two else None,
            **_places(positions[rows]),
        )

    def finding_page(self, query: FindingsQuery) -> FindingPage:
        """List findings of a kind, about a class or an image."""
        found = [
            each
            for each in self.gallery.findings or ()
            if query.kind in {None, each.finding}
            and query.label in {None, each.label, each.other_label}
            and query.key in {None, each.path, each.other}
        ]
        kinds = [each.finding for each in self.gallery.findings or ()]
        counts = [schema.FindingCount(kind=kind, findings=count) for kind in KINDS if (count := kinds.count(kind))]
        entries = [self._finding_entry(each) for each in found[query.entries]]
        audited = self.gallery.findings is not None
        return FindingPage(audited=audited, counts=counts, findings=entries, **query.describe_page(len(found)))

    def _finding_entry(self, finding: Finding) -> FindingEntry:
        same: dict[str, Any] = {
            name: getattr(finding, name) or None for name in ("label", "suggested", "other", "other_label", "score")
        }
        return FindingEntry(
            kind=finding.finding,
            key=finding.path or None,
            indexed=finding.path in self.gallery.finding_rows,
            explanation=explain(finding),
            **same,
        )


def folded(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return normalize("NFC", name).casefold()


def rank_names(names: Sequence[str], part: str, rows: np.ndarray) -> np.ndarray:
    """Find the rows, among some, int64 (n,), whose folded name contains a text.

    The whole name comes first (with or without its suffix), then names that begin with the text, then those with a
    word that does, then all others; equal ones stay in their order.
    """
    part = folded(part)
    at_word = re.compile(rf"(?<![^\W_]){re.escape(part)}")

    def order(row: int) -> tuple[bool, bool, bool]:
        name = names[row]
        is_whole = part in {name, name.rpartition(".")[0]}
        return not is_whole, not name.startswith(part), at_word.search(name) is None

    return np.array(sorted((row for row in rows.tolist() if part in names[row]), key=order), np.int64)


def _places(positions: np.ndarray) -> dict[str, Any]:
    x, y = positions.T.astype(float).round(4).tolist()
    return {"x": x, "y": y}


def describe(engine: ImageIndex, limits: schema.LimitInfo, metrics: dict[str, Any]) -> Info:
    """Describe what is served."""
    backbone, gallery, lock = describe_backbone(engine.root / EMBEDDER), engine.gallery, engine.lock
    manifest, vectors, splits = gallery.manifest, gallery.vectors, gallery.splits
    approximate_md5 = None if vectors.backend == "lancedb" else lock.md5(ANN_INDEX)
    model = {
        **{name: backbone[name] for name in ("image_size", "features", "engine")},
        "backbone": backbone["name"],
        "embedding_size": vectors.parts.size,
        "visual_weight": vectors.parts.visual_weight if vectors.parts.are_two else None,
        "md5": lock.md5(EMBEDDER).removesuffix(".dir"),
    }
    data = {
        "images": len(engine),
        "classes": _counts(manifest.folders, manifest.labels),
        "splits": [] if splits is None else _counts(SPLIT_NAMES, splits[splits >= 0]),
        "audited": gallery.findings is not None,
        "md5": lock.md5(MANIFEST),
    }
    indexes = {
        "stored_neighbors": len(engine.stored_neighbors(engine.keys[0]) or ()),
        "approximate": {"backend": vectors.backend, "search_k": vectors.search_k, "md5": approximate_md5},
    }
    return Info.model_validate({"model": model, "data": data, "indexes": indexes, "metrics": metrics, "limits": limits})


def _counts(names: Sequence[str], places: np.ndarray) -> list[dict[str, Any]]:
    counts = np.bincount(places, minlength=len(names)).tolist()
    return [{"name": name, "images": count} for name, count in zip(names, counts, strict=True)]
