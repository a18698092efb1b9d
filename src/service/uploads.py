"""From uploaded files to what is searched with."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from threading import BoundedSemaphore
from typing import NamedTuple

import numpy as np

from service.batching import BatchingExtractor
from similarity.embedding.model import EmbeddingModel
from similarity.images.decoding import DecodedImage, UnreadableImageError
from similarity.images.isolated_decoding import decode_unknown
from similarity.images.regions import Region, decode_region
from similarity.images.resizing import resize
from similarity.novelty.reference import Reference

_THREADS = os.cpu_count() or 1


class EmbeddedImage(NamedTuple):
    """An image that is not indexed, or a part of one.

    Attributes:
        embedding: float32 (E,).
        distance: to the nearest indexed image, in the features.
        width: of the whole image, upright, in pixels.
        height: likewise.
    """

    embedding: np.ndarray
    distance: float
    width: int
    height: int


@dataclass(frozen=True)
class UploadEmbedder:
    """Embeds encoded images. Safe to share between threads.

    Attributes:
        extractor: maps pixels to features.
        model: maps features to embeddings.
        reference: tells how far an image is from all that are indexed, by its features.
        image_size: what images are resized to, in pixels.
        max_pixels: larger images are refused before they are decoded.
    """

    extractor: BatchingExtractor
    model: EmbeddingModel
    reference: Reference
    image_size: int
    max_pixels: int
    _decoders: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_THREADS))

    def embed(self, contents: Sequence[bytes], region: Region | None = None) -> list[EmbeddedImage]:
        """Embeds encoded images, or the same region of each.

        Raises:
            UnreadableImageError: one cannot be decoded; if there are several, the message says which.
        """
        embedded = list(self.embed_each(contents, region))
        for place, each in enumerate(embedded, 1):
            if isinstance(each, UnreadableImageError):
                raise type(each)(f"image {place} of {len(embedded)}, {each}") if len(embedded) > 1 else each
        return [each for each in embedded if isinstance(each, EmbeddedImage)]

    def embed_each(
        self, contents: Sequence[bytes], region: Region | None = None
    ) -> Iterator[EmbeddedImage | UnreadableImageError]:
        """Embeds encoded images, or the same region of each; gives an error in the place of one that has none."""
        waiting = iter(contents)
        while chunk := list(islice(waiting, self.extractor.max_batch)):  # pixels of more would take room
            yield from self._embed_chunk(self._decode_all(chunk, region))

    def _embed_chunk(
        self, decoded: Sequence[DecodedImage | UnreadableImageError]
    ) -> Iterator[EmbeddedImage | UnreadableImageError]:
        images = [each for each in decoded if isinstance(each, DecodedImage)]
        if images:
            features = self.extractor([each.pixels for each in images])
            embeddings, distances = iter(self.model(features)), iter(self.reference.distances(features).tolist())
        for each in decoded:
            if isinstance(each, DecodedImage):
                yield EmbeddedImage(next(embeddings), next(distances), each.width, each.height)
            else:
                yield each

    def _decode_all(
        self, contents: Sequence[bytes], region: Region | None
    ) -> list[DecodedImage | UnreadableImageError]:
        def decode(content: bytes) -> DecodedImage | UnreadableImageError:
            with self._decoders:  # a large photograph may take hundreds of megabytes while it is decoded
                try:
                    return self._decode(content, region)
                except UnreadableImageError as error:
                    return error

        if len(contents) == 1:
            return [decode(contents[0])]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(decode, contents))

    def _decode(self, content: bytes, region: Region | None) -> DecodedImage:
        """Decodes an image to float32 (image_size, image_size, 3)."""
        if region is None:
            decoded = decode_unknown(content, self.image_size, self.max_pixels)
        else:
            decoded = decode_region(content, region, self.image_size, self.max_pixels)
        return decoded._replace(pixels=resize(decoded.pixels, self.image_size))
