"""Running a backbone over image files, in batches of one fixed shape."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np

from similarity.backbones import Backbone
from similarity.engines import Predict
from similarity.images import read_image, resize
from similarity.parallel import ordered_map


def load_pixels(path: Path, size: int) -> np.ndarray:
    """Reads an image file as the backbone wants it, before its preprocessing: float32 (size, size, 3) in 0…255."""
    return resize(read_image(path), size)


def pixel_batches(paths: Sequence[Path], size: int, batch_size: int) -> Iterator[np.ndarray]:
    """Reads image files into batches, float32 (batch_size, size, size, 3); black images fill up the last one.

    Reading and resizing go on in other threads while the caller works on a batch.
    """
    blank = np.zeros((size, size, 3), np.float32)
    filling = -len(paths) % batch_size
    images = chain(ordered_map(partial(load_pixels, size=size), paths, ahead=2 * batch_size), repeat(blank, filling))
    while batch := list(islice(images, batch_size)):
        yield np.stack(batch)


def compute_features(
    paths: Sequence[Path], backbone: Backbone, predict: Predict, batch_size: int
) -> Iterator[np.ndarray]:
    """Computes the features of image files, and yields them in blocks of up to `batch_size` rows, float32 (n, D).

    Args:
        paths: the files, in the order of the rows.
        backbone: its model gives the size of the images, its preprocessing is applied to them.
        predict: the engine that runs the backbone's model on batches of `batch_size`.
        batch_size: images per batch.
    """
    size = backbone.model.input_shape[1]
    for start, pixels in zip(range(0, len(paths), batch_size), pixel_batches(paths, size, batch_size), strict=True):
        yield predict(backbone.preprocess(pixels))[: len(paths) - start]
