"""Embedding images that are not indexed, from any number of threads."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from similarity.data.evaluation.novelty import Novelty
from similarity.data.features.computing import load_pixels
from similarity.data.images.decoding import DecodedImage, UnreadableImageError, decode_image, upright_pixels
from similarity.data.images.pixels import resize
from similarity.data.images.query_images import Region, decode_query
from similarity.data.images.wide import Ranges
from similarity.embedding.model import Embedder, load_embedder
from similarity.engine.results import Source
from similarity.errors import UserError
from similarity.layout import EMBEDDER

if TYPE_CHECKING:
    from similarity.engine.engine import Engine

_ALLOWED = "a key, a path, the bytes of a file, an open file, pixels, an image of Pillow or an embedding"
_CHECKED_IMAGES = 3


class Embedded(NamedTuple):
    """An embedding, float32 (E,), its distance from the nearest indexed image in the features, and the image's size."""

    embedding: np.ndarray
    distance: float
    size: tuple[int, int]


class ImageEmbedder:
    """Decodes and embeds images. Threads may share it; the model runs for one of them at a time, on all cores."""

    def __init__(
        self, embedder: Embedder, novelty: Novelty, max_batch: int, max_pixels: int | None, ranges: Ranges
    ) -> None:
        """Take the model, what measures novelty, the images per call of the model, and how uploads are decoded."""
        self._embedder, self._novelty = embedder, novelty
        self._max_batch, self._max_pixels, self._ranges = max_batch, max_pixels, ranges
        self._model, self._decoders = Lock(), ThreadPoolExecutor(os.cpu_count())

    def __call__(
        self, sources: Iterable[Source], region: Region | None = None
    ) -> Iterator[Embedded | UserError | UnreadableImageError]:
        """Embed images, or a region of each; yield an error in the place of one that cannot be embedded."""
        waiting = iter(sources)
        while chunk := list(islice(waiting, self._max_batch)):  # pixels of more would take memory
            decoded = list(self._decoders.map(lambda source: self.decode(source, region), chunk))
            embedded = self._embed([each for each in decoded if isinstance(each, DecodedImage)])
            yield from (next(embedded) if isinstance(each, DecodedImage) else each for each in decoded)

    def _embed(self, images: list[DecodedImage]) -> Iterator[Embedded | UserError]:
        if not images:
            return
        with self._model, np.errstate(over="ignore", invalid="ignore"):  # checked below
            features = self._embedder.extractor(np.stack([each.pixels for each in images]))
            embeddings, distances = self._embedder.model(features), self._novelty.distances(features)
        for each, embedding, distance in zip(images, embeddings, distances.tolist(), strict=True):
            if np.isfinite([distance, *embedding]).all():
                yield Embedded(embedding, distance, (each.width, each.height))
            else:
                yield UserError("the backbone gives numbers for it that are not finite")

    def decode(self, source: Source, region: Region | None = None) -> DecodedImage | UserError | UnreadableImageError:
        """Decode an image, or a region of it, to float32 (size, size, 3); return the error if it cannot be."""
        size = self._embedder.extractor.image_size
        try:
            if isinstance(source, bytes) or (region and isinstance(source, Path)):
                decoded = decode_query(source, region, size, self._max_pixels, self._ranges)
            elif region:
                raise UserError("a region is cut out of a file: cut it out of the pixels before")
            else:
                pixels = pixels_of(source, size, self._ranges)
                decoded = DecodedImage(pixels, pixels.shape[1], pixels.shape[0])
            return decoded._replace(pixels=resize(decoded.pixels, size))
        except (UserError, UnreadableImageError) as error:
            return error
        except OSError as error:
            return UserError(error.strerror or str(error))


def open_embedder(engine: "Engine") -> ImageEmbedder:
    """Load the model of a project, and check that it gives the stored embeddings of a few images."""
    model, vectors = load_embedder(engine.checked(EMBEDDER), engine.batch_sizes), engine.gallery.vectors
    rows = np.unique(np.linspace(0, len(vectors) - 1, _CHECKED_IMAGES).astype(int))
    rows = rows[vectors[rows].any(axis=1)]  # the others have no cosine
    size = model.extractor.image_size
    pixels = [load_pixels(engine.images / engine.keys[row], size, ranges=engine.ranges) for row in rows]
    model.check(np.reshape(pixels, (len(rows), size, size, 3)), vectors[rows])
    return ImageEmbedder(model, engine.novelty, max(engine.batch_sizes), engine.max_pixels, engine.ranges)


def pixels_of(source: Source, side: int, ranges: Ranges | None = None) -> np.ndarray:
    """Return the pixels of an image, uint8 (height, width, 3), RGB; a file's may be fewer if they suffice for `side`.

    Raises:
        UserError: it is an array of something else.
        UnreadableImageError: it cannot be decoded.
    """
    if isinstance(source, Image.Image):
        return upright_pixels(source, ranges)
    if isinstance(source, Path | bytes):
        return decode_image(source, side, ranges=ranges).pixels
    if not isinstance(source, np.ndarray):
        raise UserError(f"{_ALLOWED} is needed, and this is a {type(source).__name__}")
    if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
        raise UserError(f"pixels must be uint8 (height, width, 3), RGB, and these are {source.dtype} {source.shape}")
    return source
