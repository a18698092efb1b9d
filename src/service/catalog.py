"""What the service answers from: everything is loaded once and shared by all requests."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from mmap import mmap
from threading import BoundedSemaphore
from typing import NamedTuple

import numpy as np
from PIL import Image

from service.annotations import Annotations
from service.forms import Filters, SearchOptions
from service.image_files import read_image_bytes
from service.names import Names
from service.schema import Answer, EmbeddingMap, ImageEntry, Info, Layout, Neighbor, Novelty, Query, SearchResult
from service.uploads import EmbeddedImage, UploadEmbedder
from similarity.dataset.manifest import ImageRecord
from similarity.findings.finding import FindingKind
from similarity.images.decoding import read_image
from similarity.images.protocols import ImageFolder
from similarity.images.regions import Region
from similarity.index.inverted_index import find_neighbors
from similarity.index.searcher import Answer as SearchAnswer
from similarity.index.searcher import Index, Searcher, UnknownNameError

_MAX_POINTS = 20_000  # of the map: more than a screen can show


class Asked(NamedTuple):
    """What is searched with: one query is made of all of it.

    Attributes:
        uploads: encoded images.
        keys: of indexed images.
        like: keys of images like those that are wanted.
        unlike: keys of images unlike those that are wanted.
        region: of the only upload or key.
    """

    uploads: Sequence[bytes] = ()
    keys: Sequence[str] = ()
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    region: Region | None = None


@dataclass(frozen=True)
class Catalog:
    """The indexed images and the model.

    Attributes:
        searcher: finds the neighbors of embeddings.
        embedder: embeds what is not indexed.
        annotations: what else is known of the images.
        images: has their files.
        inverted_index: the stored neighbors, mapped into memory, if they are at hand.
        positions: of the images in the plane, float32 (N, 2), if there is a projection.
        look_positions: likewise by their look alone.
        info: what to tell of all this.
        version: by which a later state of the files is told apart.
    """

    searcher: Searcher
    embedder: UploadEmbedder
    annotations: Annotations
    images: ImageFolder
    inverted_index: mmap | None
    positions: np.ndarray | None
    look_positions: np.ndarray | None
    info: Info
    version: bytes
    _thumbnails: BoundedSemaphore = field(default_factory=BoundedSemaphore)

    def search(self, asked: Asked, options: SearchOptions, any_distance: bool = False) -> SearchResult:
        """Finds the images most similar to what is asked with, which are not among them.

        Args:
            asked: what to search with.
            options: how to search.
            any_distance: give the nearest images even if none is similar.

        Raises:
            UnreadableImageError: an upload cannot be decoded.
            ImageFileError: a region is asked for of an image whose file is gone, or is another image.
            UnknownNameError: there is no such image, class or index.
            LookUnavailableError: the look cannot be chosen.
        """
        rows, like, unlike = ([self.searcher.row(key) for key in keys] for keys in asked[1:4])
        if len(rows) == 1 and not (asked.uploads or like or unlike or asked.region):
            return self._search_row(rows[0], options)
        start = time.perf_counter()
        embedded = self.embedder.embed(self._contents(asked, rows), asked.region)
        seconds = time.perf_counter() - start if embedded else None
        known = [] if asked.region else rows
        query = self.searcher.combine(
            np.stack([*(each.embedding for each in embedded), *self.searcher.vectors[known]]), like, unlike
        )
        answers = self._answers(options, partial(self.searcher.similar, query, excluded=[*rows, *like, *unlike]))
        queries = [_query(each) for each in embedded[: len(asked.uploads)]]
        queries += [self._query_of_row(row) for row in rows]
        return _as_result(queries, answers, seconds, None if known else self._novelty(embedded), any_distance)

    def search_each(
        self, uploads: Sequence[bytes], keys: Sequence[str], options: SearchOptions, any_distance: bool = False
    ) -> Iterator[SearchResult | Exception]:
        """Makes a search of each upload and each key; gives an error in the place of one that fails.

        Raises:
            UnknownNameError: there is no such class or index.
            LookUnavailableError: the look cannot be chosen.
        """
        for each in self.embedder.embed_each(uploads):
            yield each if isinstance(each, Exception) else self._search_upload(each, options, any_distance)
        for key in keys:
            row = self._row_or_error(key)
            yield self._search_row(row, options) if isinstance(row, int) else row

    def rows(self, filters: Filters, name: str | None = None) -> np.ndarray:
        """The rows of some images, int64 (n,), in the order of their keys; with a part of a name, the best match first.

        Raises:
            UnknownNameError: there is no such class.
        """
        rows = self.searcher.rows(filters.label)
        allowed = self.annotations.allow(filters.split, filters.finding)
        if allowed is not None:
            rows = rows[allowed[rows]]
        return rows if name is None else self._names.rank(rows, name)

    def entry(self, row: int) -> ImageEntry:
        """An indexed image as it is listed."""
        record = self.searcher.manifest.records[row]
        return ImageEntry(
            key=record.path,
            label=record.label,
            width=record.width,
            height=record.height,
            split=self.annotations.split(row),
            findings=self.annotations.kinds(row),
        )

    def thumbnail(self, record: ImageRecord, size: int) -> bytes:
        """A JPEG of an indexed image that fits into a square of `size` pixels.

        Raises:
            ImageFileError: its file is gone, or is another image.
            UnreadableImageError: it cannot be decoded any more.
        """
        with self._thumbnails:  # apart from the uploads, behind which a page would wait for its pictures
            content = read_image_bytes(self.images, record.path, record.sha256)
            picture = Image.fromarray(read_image(content, size))
        picture.thumbnail((size, size))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=88)
        return buffer.getvalue()

    def embedding_map(self) -> EmbeddingMap | None:
        """The images as points in the plane, evenly chosen where there are too many."""
        if self.positions is None:
            return None
        manifest = self.searcher.manifest
        rows = np.unique(np.linspace(0, len(self.positions) - 1, _MAX_POINTS).astype(int))
        places: dict[FindingKind, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            for kind in self.annotations.kinds(row):
                places.setdefault(kind, []).append(place)
        return EmbeddingMap(
            classes=manifest.folders,
            keys=[manifest.keys[row] for row in rows],
            labels=manifest.labels[rows].tolist(),
            splits=[self.annotations.split(row) for row in rows],
            findings=places,
            look=None if self.look_positions is None else _as_layout(self.look_positions[rows]),
            **_as_layout(self.positions[rows]).model_dump(),
        )

    def _row_or_error(self, key: str) -> int | UnknownNameError:
        try:
            return self.searcher.row(key)
        except UnknownNameError as error:
            return error

    @cached_property
    def _names(self) -> Names:
        return Names(self.searcher.manifest.keys)

    def _contents(self, asked: Asked, rows: Sequence[int]) -> Sequence[bytes]:
        """The encoded images that are to be embedded."""
        if asked.uploads or asked.region is None:
            return asked.uploads
        record = self.searcher.manifest.records[rows[0]]
        return [read_image_bytes(self.images, record.path, record.sha256)]

    def _search_upload(self, embedded: EmbeddedImage, options: SearchOptions, any_distance: bool) -> SearchResult:
        answers = self._answers(options, partial(self.searcher.similar, embedded.embedding))
        return _as_result([_query(embedded)], answers, None, self._novelty([embedded]), any_distance)

    def _search_row(self, row: int, options: SearchOptions) -> SearchResult:
        stored = self._stored(row, options)
        answers = [stored] if stored else self._answers(options, partial(self.searcher.similar_to_row, row))
        return _as_result([self._query_of_row(row)], answers, None, None, True)

    def _stored(self, row: int, options: SearchOptions) -> Answer | None:
        """The answer by the inverted index, where that is enough."""
        needs_search = options.compare or options.label or options.split or options.finding or options.look is not None
        if self.inverted_index is None or needs_search or options.index not in {None, "exact"}:
            return None
        start = time.perf_counter()
        found = find_neighbors(self.inverted_index, self.searcher.manifest.keys[row])
        if found is None or len(found) < options.end:
            return None
        shown = found[options.offset : options.end]
        neighbors = [self._neighbor(self.searcher.row(key), cosine) for key, cosine in shown]
        return Answer(
            index="exact",
            source="inverted index",
            milliseconds=1000 * (time.perf_counter() - start),
            matches=len(self.searcher.vectors) - 1,
            neighbors=neighbors,
        )

    def _answers(self, options: SearchOptions, search: Callable[..., SearchAnswer]) -> list[Answer]:
        allowed = self.annotations.allow(options.split, options.finding)
        label, look = options.label, options.look
        found = (
            search(count=options.end, label=label, index=index, look=look, allowed=allowed)
            for index in self._indexes(options)
        )
        return [self._as_answer(each, options.offset) for each in found]

    def _indexes(self, options: SearchOptions) -> list[Index | None]:
        if options.look is not None:
            return [options.index]
        first = options.index or self.searcher.default_index
        return [first, *(index for index in self.searcher.indexes if index != first)] if options.compare else [first]

    def _as_answer(self, found: SearchAnswer, offset: int) -> Answer:
        return Answer(
            index=found.index,
            source="search",
            milliseconds=1000 * found.seconds,
            matches=found.matches,
            neighbors=[self._neighbor(each.row, each.cosine) for each in found.neighbors[offset:]],
        )

    def _neighbor(self, row: int, cosine: float) -> Neighbor:
        record = self.searcher.manifest.records[row]
        split, kinds = self.annotations.split(row), self.annotations.kinds(row)
        return Neighbor(key=record.path, label=record.label, cosine=cosine, split=split, findings=kinds)

    def _query_of_row(self, row: int) -> Query:
        return Query(**self.entry(row).model_dump())

    def _novelty(self, embedded: Sequence[EmbeddedImage]) -> Novelty:
        """How far the nearest of some uploads is from all that is indexed."""
        distance = min(each.distance for each in embedded)
        return Novelty(distance=distance, max_distance=self.embedder.reference.max_distance)


def _query(upload: EmbeddedImage) -> Query:
    return Query(key=None, label=None, width=upload.width, height=upload.height, split=None, findings=[])


def _as_result(
    queries: list[Query],
    answers: Sequence[Answer],
    embed_seconds: float | None,
    novelty: Novelty | None,
    any_distance: bool,
) -> SearchResult:
    similar = novelty is None or novelty.distance <= novelty.max_distance
    if not similar and not any_distance:
        answers = [each.model_copy(update={"neighbors": [], "matches": 0}) for each in answers]
    return SearchResult(
        query=queries[0],
        queries=queries,
        answer=answers[0],
        comparison=answers[1] if len(answers) > 1 else None,
        embed_milliseconds=None if embed_seconds is None else 1000 * embed_seconds,
        similar=similar,
        novelty=novelty,
    )


def _as_layout(positions: np.ndarray) -> Layout:
    x, y = positions.T.astype(float).round(4).tolist()
    return Layout(x=x, y=y)
