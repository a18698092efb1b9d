"""What the service answers from: the engine's results in the words of the API."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import BoundedSemaphore
from typing import cast

import numpy as np
from PIL import Image

from service.forms import Filters, SearchOptions
from service.image_files import read_image_bytes
from service.info import Info
from service.names import Names
from service.schema import (
    Answer,
    EmbeddingMap,
    FindingCount,
    FindingEntry,
    ImageEntry,
    Layout,
    Neighbor,
    Novelty,
    SearchResult,
    Split,
)
from service.schema import Query as QueryEntry
from similarity.dataset.manifest import ImageRecord
from similarity.engine.gallery import Gallery
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Failure, Options, Prepared, Query, Result
from similarity.engine.stores import Index
from similarity.findings.finding import KINDS, Finding, FindingKind
from similarity.findings.listing import explain
from similarity.images.decoding import read_image
from similarity.images.regions import Region

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
    _thumbnails: BoundedSemaphore = field(default_factory=BoundedSemaphore)

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
            query = self._with_pixels(query, query.region)
        [prepared] = self.engine.prepare([query])
        if isinstance(prepared, Failure):
            raise prepared.error
        return self._search(prepared, options, any_distance)

    def search_each(
        self, queries: Sequence[Query], options: SearchOptions, any_distance: bool
    ) -> Iterator[SearchResult | Exception]:
        """Answer several queries; one that fails has its error in its place."""
        for each in self.engine.prepare(queries):
            yield each.error if isinstance(each, Failure) else self._search(each, options, any_distance)

    def rows(self, filters: Filters, name: str | None = None) -> np.ndarray:
        """Return the rows of some images, int64 (n,), by key; with a part of a name, the best match first.

        Raises:
            UnknownNameError: there is no such class.
        """
        allowed = self.gallery.allow(filters.label, filters.split, filters.finding)
        rows = np.arange(len(self.engine)) if allowed is None else np.flatnonzero(allowed)
        return rows if name is None else self._names.rank(rows, name)

    def record(self, key: str) -> ImageRecord:
        """Return the record of an image.

        Raises:
            UnknownNameError: there is no such image.
        """
        return self.gallery.manifest.records[self.gallery.row(key)]

    def entry(self, row: int) -> ImageEntry:
        """Return an image as it is listed."""
        record = self.gallery.manifest.records[row]
        return ImageEntry(
            key=record.path,
            label=record.label,
            width=record.width,
            height=record.height,
            split=cast("Split | None", self.gallery.split(row)),
            findings=self.gallery.kinds(row),
        )

    def thumbnail(self, record: ImageRecord, size: int) -> bytes:
        """Return a JPEG of an image that fits into a square of `size` pixels.

        Raises:
            ImageFileError: its file is missing, or is another image.
            UnreadableImageError: it can no longer be decoded.
        """
        with self._thumbnails:  # one at a time, so that uploads do not wait for the pictures of a page
            content = read_image_bytes(self.engine.images, record.path, record.sha256)
            picture = Image.fromarray(read_image(content, size))
        picture.thumbnail((size, size))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=88)
        return buffer.getvalue()

    def embedding_map(self) -> EmbeddingMap | None:
        """Return the images as points in the plane, evenly chosen if there are too many; None without a map."""
        if (positions := self.engine.map.get("all")) is None:
            return None
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
            splits=[cast("Split | None", gallery.split(row)) for row in rows],
            findings=places,
            look=_as_layout(look[rows]) if look is not None and gallery.vectors.parts.are_two else None,
            **_as_layout(positions[rows]).model_dump(),
        )

    def findings(self, kind: FindingKind | None, label: str | None, key: str | None) -> list[Finding]:
        """Return the findings of a kind, about a class or an image."""
        return [
            each
            for each in self.gallery.findings or ()
            if kind in {None, each.finding}
            and label in {None, each.label, each.other_label}
            and key in {None, each.path, each.other}
        ]

    @cached_property
    def finding_counts(self) -> list[FindingCount]:
        """How many findings there are of each kind that occurs."""
        kinds = [each.finding for each in self.gallery.findings or ()]
        return [FindingCount(kind=kind, findings=kinds.count(kind)) for kind in KINDS if kind in kinds]

    def finding_entry(self, finding: Finding) -> FindingEntry:
        """Return a finding as it is listed."""
        return FindingEntry(
            kind=finding.finding,
            key=finding.path or None,
            label=finding.label or None,
            indexed=finding.path in self.gallery.finding_rows,
            suggested=finding.suggested or None,
            other=finding.other or None,
            other_label=finding.other_label or None,
            score=float(finding.score) if finding.score else None,
            explanation=explain(finding),
        )

    @cached_property
    def _names(self) -> Names:
        return Names(self.gallery.manifest.keys)

    def _with_pixels(self, query: Query, region: Region) -> Query:
        """Take the file of the only key as the image that a region is part of."""
        record = self.record(query.keys[0])
        content = read_image_bytes(self.engine.images, record.path, record.sha256)
        return Query(query.name, query.keys, (content,), query.like, query.unlike, region)

    def _search(self, prepared: Prepared, options: SearchOptions, any_distance: bool) -> SearchResult:
        results = [
            self.engine.find(prepared, _as_options(options, any_distance, index)) for index in self._indexes(options)
        ]
        first, query = results[0], prepared.query
        uploads = len(query.images) - (len(query.keys) if query.region else 0)
        queries = [
            QueryEntry(key=None, label=None, width=width, height=height, split=None, findings=[])
            for _, _, (width, height) in prepared.embedded[:uploads]
        ]
        queries += [QueryEntry(**self.entry(self.gallery.row(key)).model_dump()) for key in query.keys]
        novelty = None
        if first.distance is not None and first.max_distance is not None:
            novelty = Novelty(distance=first.distance, max_distance=first.max_distance)
        return SearchResult(
            query=queries[0],
            queries=queries,
            answer=self._as_answer(first),
            comparison=self._as_answer(results[1]) if len(results) > 1 else None,
            embed_milliseconds=None if prepared.seconds is None else 1000 * prepared.seconds,
            similar=first.similar,
            novelty=novelty,
        )

    def _indexes(self, options: SearchOptions) -> list[Index | None]:
        if not options.compare or options.look is not None:
            return [options.index]
        first = options.index or self.gallery.default_index
        return [first, *(index for index in self.gallery.indexes if index != first)]

    def _as_answer(self, result: Result) -> Answer:
        rows = [self.gallery.row(key) for key, _ in result.neighbors]
        return Answer(
            index=result.index,
            source="inverted index" if result.matches is None else "search",
            milliseconds=1000 * result.seconds,
            matches=len(self.engine) - 1 if result.matches is None else result.matches,
            neighbors=[
                Neighbor(cosine=cosine, **self.entry(row).model_dump(exclude={"width", "height"}))
                for row, (_, cosine) in zip(rows, result.neighbors, strict=True)
            ],
        )


def _as_options(options: SearchOptions, any_distance: bool, index: Index | None) -> Options:
    return Options(
        count=options.k,
        label=options.label,
        index=index,
        look=options.look,
        split=options.split,
        finding=options.finding,
        any=any_distance,
        offset=options.offset,
        stored=not options.compare,
    )


def _as_layout(positions: np.ndarray) -> Layout:
    x, y = positions.T.astype(float).round(4).tolist()
    return Layout(x=x, y=y)
