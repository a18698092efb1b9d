"""The model as queries need it: it embeds images that are not indexed, and explains why two images are similar."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from similarity.data.features.computing import load_pixels
from similarity.data.features.extractor import GRAPH, HINTS, openvino_core
from similarity.data.images.decoding import DecodedImage, UnreadableImageError, decode_image, upright_pixels
from similarity.data.images.pixels import resize
from similarity.data.images.query_images import Region, decode_query
from similarity.data.images.wide import Ranges
from similarity.data.vectors import normalize
from similarity.embedding.model import embed, load_embedder, load_embedding_model
from similarity.engine.results import Source
from similarity.errors import UserError
from similarity.layout import EMBEDDER

if TYPE_CHECKING:
    import openvino as ov

    from similarity.engine.engine import Engine

Explainer: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Not to be shared by threads; see `load_explainer`."""
_ALLOWED = "a key, a path, the bytes of a file, an open file, pixels, an image of Pillow or an embedding"
_CHECKED_IMAGES = 3


class Embedded(NamedTuple):
    """An embedding, float32 (E,), its distance from the nearest indexed image in the features, and the image's size."""

    embedding: np.ndarray
    distance: float
    size: tuple[int, int]


class ImageEmbedder:
    """Decodes and embeds images. Threads may share it; the model runs for one of them at a time, on all cores."""

    def __init__(self, engine: "Engine") -> None:
        """Load the model of a project, and check that it gives the stored embeddings of a few images."""
        self._embedder = load_embedder(engine.checked(EMBEDDER), engine.batch_sizes)
        self._max_batch, self._max_pixels = max(engine.batch_sizes), engine.max_pixels
        self._novelty, self._ranges = engine.novelty, engine.ranges
        self._model, self._decoders = Lock(), ThreadPoolExecutor(os.cpu_count())
        vectors, size = engine.gallery.vectors, self._embedder.extractor.image_size
        rows = np.unique(np.linspace(0, len(vectors) - 1, _CHECKED_IMAGES).astype(int))
        rows = rows[vectors[rows].any(axis=1)]  # the others have no cosine
        pixels = [load_pixels(engine.images / engine.keys[row], size, ranges=engine.ranges) for row in rows]
        self._embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), vectors[rows])

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
            if isinstance(source, Path | bytes):
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


def pixels_of(source: Source, side: int, ranges: Ranges | None = None) -> np.ndarray:
    """Return the pixels of an image, uint8 (height, width, 3), RGB; a file's may be fewer if they suffice for `side`.

    Anything else raises a `UserError`, and what cannot be decoded an `UnreadableImageError`.
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


def load_explainer(folder: Path) -> Explainer | None:
    """Load a function that explains the cosine of two embeddings by the backbone's last feature map.

    It maps the pixels of two images, float32 (2, size, size, 3), to what each place contributes, (2, h, w) in 0…1. It
    is None if the backbone has no graph, or none with a feature map whose means the model uses.

    With its ReLU and its length held fixed, an embedding is linear in the means of the channels, so that a place with
    the local features F(p) contributes g · F(p) / hw to the cosine, where g is the cosine's gradient: class activation
    mapping (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016), for embeddings (Zhu,
    Yang & Chen, "Visual Explanation for Deep Metric Learning", IEEE TIP 2021). What speaks against the match is 0, and
    the largest contribution of each image 1.
    """
    if not (folder / GRAPH).exists():
        return None
    model, graph = load_embedding_model(folder), openvino_core().read_model(folder / GRAPH)
    kernel = np.concatenate([model.head.kernel, model.visual.kernel], axis=1)
    order = [operation.friendly_name for operation in graph.get_ordered_ops()]
    features, means, start = graph.output().node.input_value(0), dict[int, tuple["ov.Node", slice]](), 0
    for part in features.node.input_values() if features.node.get_type_name() == "Concat" else [features]:
        node, columns = part.node, slice(start, start := start + part.partial_shape[1].get_length())
        is_mean = node.get_type_name() == "ReduceMean" and len(node.input_value(0).partial_shape) == 4
        if is_mean and kernel[columns].any():
            means[order.index(node.friendly_name)] = (node, columns)
    if not means:
        return None
    node, columns = means[max(means)]  # the last one in the graph
    axis = ({1, 3} - set(node.input_value(1).node.data.tolist())).pop()  # of the map's channels
    graph.add_outputs([node.input_value(0)])
    graph.reshape([2, *graph.inputs[0].partial_shape[1:]])
    network = openvino_core().compile_model(graph, "CPU", HINTS)

    def explain(pixels: np.ndarray) -> np.ndarray:
        features, maps = network([pixels]).values()
        linear = np.concatenate([embed(features, model.head), model.visual(features)], axis=1)
        embeddings = normalize(model(features))
        slopes = np.divide(embeddings, linear, out=np.zeros_like(linear), where=linear != 0)
        gradients = (embeddings[::-1] * slopes) @ kernel[columns].T
        shares = np.einsum("nhwc,nc->nhw", np.moveaxis(maps, axis, -1), gradients).clip(min=0)
        most = shares.max(axis=(1, 2), keepdims=True)
        return shares / np.where(most > 0, most, 1)

    return explain
