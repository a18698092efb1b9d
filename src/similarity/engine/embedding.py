"""Embedding images that are not indexed, from any number of threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from PIL import Image

from similarity.embedding.embedder import Embedder
from similarity.engine.results import Source
from similarity.errors import UserError
from similarity.images.decoding import DecodedImage, UnreadableImageError, decode_image, upright_pixels
from similarity.images.isolated_decoding import decode_unknown
from similarity.images.regions import Region, decode_region
from similarity.images.resizing import resize
from similarity.novelty.reference import Reference

_THREADS = os.cpu_count() or 1


class Embedded(NamedTuple):
    """An image that was embedded.

    Attributes:
        embedding: float32 (E,).
        distance: from the nearest indexed image, in the features.
        size: width and height of the whole image, upright, in pixels.
    """

    embedding: np.ndarray
    distance: float
    size: tuple[int, int]


class ImageEmbedder:
    """Decodes and embeds images. Threads may share it."""

    def __init__(self, embedder: Embedder, reference: Reference, max_batch: int, max_pixels: int | None) -> None:
        """Take the model and what measures novelty.

        Args:
            embedder: maps pixels to features and embeddings; it need not be safe for threads.
            reference: measures the distance of features to those indexed.
            max_batch: images per call of the extractor.
            max_pixels: uploads of more are refused before they are decoded.
        """
        self.max_batch = max_batch
        self._extract = BatchingExtractor(embedder.extractor, max_batch)
        self._size, self._model, self._reference = embedder.extractor.image_size, embedder.model, reference
        self._max_pixels = max_pixels
        self._decoders = ThreadPoolExecutor(_THREADS)  # a large photo may take hundreds of megabytes to decode

    def __call__(
        self, sources: Iterable[Source], region: Region | None = None
    ) -> Iterator[Embedded | UserError | UnreadableImageError]:
        """Embed images, or a region of each; yield an error in the place of one that cannot be embedded."""
        waiting = iter(sources)
        while chunk := list(islice(waiting, self.max_batch)):  # pixels of more would take memory
            decoded = list(self._decoders.map(lambda source: self._decode(source, region), chunk))
            images = [each for each in decoded if isinstance(each, DecodedImage)]
            embedded = self._embed([each.pixels for each in images])
            for each in decoded:
                if isinstance(each, DecodedImage):
                    embedding, distance = next(embedded)
                    is_finite = np.isfinite([distance, *embedding]).all()
                    found = Embedded(embedding, distance, (each.width, each.height))
                    yield found if is_finite else UserError("the backbone gives numbers for it that are not finite")
                else:
                    yield each

    def _embed(self, pixels: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
        if not pixels:
            return iter(())
        with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for it
            features = self._extract(pixels)
            return zip(self._model(features), self._reference.distances(features).tolist(), strict=True)

    def _decode(self, source: Source, region: Region | None) -> DecodedImage | UserError | UnreadableImageError:
        """Decode an image, or a region of it, to float32 (size, size, 3)."""
        try:
            decoded = _decode(source, region, self._size, self._max_pixels)
            return decoded._replace(pixels=resize(decoded.pixels, self._size))
        except (UserError, UnreadableImageError) as error:
            return error
        except OSError as error:
            return UserError(error.strerror or str(error))


def _decode(source: Source, region: Region | None, side: int, max_pixels: int | None) -> DecodedImage:
    if isinstance(source, Path):
        return decode_image(source, side)
    if isinstance(source, bytes):
        if region is None:
            return decode_unknown(source, side, max_pixels)
        return decode_region(source, region, side, max_pixels)
    pixels = pixels_of(source)
    return DecodedImage(pixels, pixels.shape[1], pixels.shape[0])


def pixels_of(source: "Source", side: int | None = None) -> np.ndarray:
    """Return the pixels of an image, uint8 (height, width, 3), RGB; a file's may be fewer if they suffice for `side`.

    Raises:
        UserError: it is an array of something else.
        UnreadableImageError: it cannot be decoded.
    """
    if isinstance(source, Image.Image):
        return upright_pixels(source)
    if not isinstance(source, np.ndarray):
        return decode_image(source, side).pixels
    if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
        raise UserError(f"pixels must be uint8 (height, width, 3), RGB, and these are {source.dtype} {source.shape}")
    return source


class _Item:
    """The pixels of an image, and then its features or an error."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.features: np.ndarray | None = None
        self.error: Exception | None = None

    def result(self) -> np.ndarray:
        if self.error is not None:
            raise self.error
        assert self.features is not None
        return self.features


class BatchingExtractor:
    """Computes features for any number of threads, in batches gathered from all of them.

    The thread that finds the model free runs it for all images that wait. So a lone request waits for nobody, and
    batches grow with the load.
    """

    def __init__(self, extract: Callable[[np.ndarray], np.ndarray], max_batch: int) -> None:
        """Take what maps float32 (n, size, size, 3) to features, float32 (n, D), for n ≤ `max_batch`."""
        self._extract, self._max_batch = extract, max_batch
        self._waiting: deque[_Item] = deque()
        self._model = Lock()

    def __call__(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Map the pixels of images, float32 (size, size, 3) in 0…255, to features, float32 (n, D)."""
        items = [_Item(each) for each in pixels]
        self._waiting.extend(items)
        with self._model:
            while any(item.features is None and item.error is None for item in items):
                self._run([self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))])
        return np.stack([item.result() for item in items])

    def _run(self, batch: list[_Item]) -> None:
        try:
            rows = self._extract(np.stack([item.pixels for item in batch]))
        except Exception as error:  # goes to every request of the batch, which would otherwise wait for ever
            for item in batch:
                item.error = error
        else:
            for item, features in zip(batch, rows, strict=True):
                item.features = features
