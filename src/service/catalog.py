"""What the service answers from: everything is loaded once and shared by all requests."""

import io
import os
import time
from dataclasses import dataclass, field
from mmap import mmap
from threading import BoundedSemaphore

import numpy as np
from PIL import Image

from service.batching import BatchingExtractor
from service.image_files import read_image_bytes
from service.schema import Answer, EmbeddingMap, Info, Neighbor, Novelty, Query, SearchResult
from similarity.dataset.manifest import ImageRecord
from similarity.embedding.model import EmbeddingModel
from similarity.images.decoding import decode_image, read_image
from similarity.images.protocols import ImageFolder
from similarity.images.resizing import resize
from similarity.index.inverted_index import find_neighbors
from similarity.index.searcher import Answer as SearchAnswer
from similarity.index.searcher import Index, Searcher
from similarity.novelty.reference import Reference

_MAX_POINTS = 20_000  # of the map: more than a screen can show


@dataclass(frozen=True)
class SearchOptions:
    """What a client asks for.

    Attributes:
        k: how many neighbors.
        label: the only class to give.
        index: which one to search.
        compare: whether to search the other index as well.
        look: weight of the visual part, if it is not to be the embedding's; only exact search, no comparison.
        any: whether to give the nearest images even if none is similar.
    """

    k: int
    label: str | None
    index: Index | None
    compare: bool
    look: float | None
    any: bool = False


@dataclass(frozen=True)
class Catalog:
    """The indexed images and the model.

    Attributes:
        searcher: finds the neighbors of embeddings.
        extractor: maps pixels, float32 (image_size, image_size, 3), to features.
        model: maps features to embeddings.
        reference: tells whether anything is similar to an image, by its features.
        image_size: what images are resized to, in pixels.
        max_pixels: larger images are refused before they are decoded.
        images: has their files.
        inverted_index: the stored neighbors, mapped into memory.
        positions: of the images in the plane, float32 (N, 2), if there is a projection.
        info: what to tell of all this.
    """

    searcher: Searcher
    extractor: BatchingExtractor
    model: EmbeddingModel
    reference: Reference
    image_size: int
    max_pixels: int
    images: ImageFolder
    inverted_index: mmap
    positions: np.ndarray | None
    info: Info
    _decoders: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(os.cpu_count() or 1))
    _thumbnails: BoundedSemaphore = field(default_factory=BoundedSemaphore)

    def search_upload(self, content: bytes, options: SearchOptions) -> SearchResult:
        """Finds the images most similar to an encoded one.

        Raises:
            UnreadableImageError: it cannot be decoded.
            UnknownNameError: there is no such class or index.
            LookUnavailableError: the look cannot be chosen.
        """
        start = time.perf_counter()
        with self._decoders:  # a large photograph may take hundreds of megabytes while it is decoded
            pixels, width, height = decode_image(content, self.image_size, self.max_pixels)
            resized = resize(pixels, self.image_size)
            del pixels
        features = self.extractor(resized)[None]
        embedding, distance = self.model(features)[0], float(self.reference.distances(features)[0])
        seconds = time.perf_counter() - start
        answers = [
            _as_answer(self.searcher.similar(embedding, options.k, options.label, index, options.look))
            for index in self._indexes(options)
        ]
        query = Query(key=None, label=None, width=width, height=height)
        novelty = Novelty(distance=distance, max_distance=self.reference.max_distance)
        result = _as_result(query, answers, 1000 * seconds, novelty)
        return result if result.similar or options.any else _without_neighbors(result)

    def search_key(self, key: str, options: SearchOptions) -> SearchResult:
        """Finds the images most similar to an indexed one, from the inverted index where that is enough.

        Raises:
            UnknownNameError: there is no such image, class or index.
            LookUnavailableError: the look cannot be chosen.
        """
        row = self.searcher.row(key)
        needs_search = options.compare or options.label or options.look is not None
        stored = None if needs_search or options.index not in {None, "exact"} else self._stored(key, options.k)
        answers = [stored] if stored else [
            _as_answer(self.searcher.similar_to_row(row, options.k, options.label, index, options.look))
            for index in self._indexes(options)
        ]  # fmt: skip
        record = self.searcher.manifest.records[row]
        query = Query(key=key, label=record.label, width=record.width, height=record.height)
        return _as_result(query, answers, None, None)

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
        x, y = self.positions[rows].T.astype(float).round(4).tolist()
        keys = [manifest.keys[row] for row in rows]
        return EmbeddingMap(classes=manifest.folders, keys=keys, labels=manifest.labels[rows].tolist(), x=x, y=y)

    def _indexes(self, options: SearchOptions) -> list[Index | None]:
        if options.look is not None:
            return [options.index]
        first = options.index or self.searcher.default_index
        return [first, *(index for index in self.searcher.indexes if index != first)] if options.compare else [first]

    def _stored(self, key: str, k: int) -> Answer | None:
        start = time.perf_counter()
        found = find_neighbors(self.inverted_index, key)
        if found is None or len(found) < k:
            return None
        neighbors = [Neighbor(key=other, label=other.split("/")[0], cosine=cosine) for other, cosine in found[:k]]
        milliseconds = 1000 * (time.perf_counter() - start)
        return Answer(index="exact", source="inverted index", milliseconds=milliseconds, neighbors=neighbors)


def _as_answer(found: SearchAnswer) -> Answer:
    neighbors = [Neighbor(**neighbor._asdict()) for neighbor in found.neighbors]
    return Answer(index=found.index, source="search", milliseconds=1000 * found.seconds, neighbors=neighbors)


def _as_result(
    query: Query, answers: list[Answer], embed_milliseconds: float | None, novelty: Novelty | None
) -> SearchResult:
    return SearchResult(
        query=query,
        answer=answers[0],
        comparison=answers[1] if len(answers) > 1 else None,
        embed_milliseconds=embed_milliseconds,
        similar=novelty is None or novelty.distance <= novelty.max_distance,
        novelty=novelty,
    )


def _without_neighbors(result: SearchResult) -> SearchResult:
    answers = {"answer": result.answer, "comparison": result.comparison}
    return result.model_copy(
        update={name: answer and answer.model_copy(update={"neighbors": []}) for name, answer in answers.items()}
    )
