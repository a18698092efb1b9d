"""Running a backbone over image files."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from similarity.extractor import Extractor
from similarity.images import read_image_file, resize
from similarity.parallel import ordered_map


def load_pixels(path: Path, size: int) -> np.ndarray:
    """Reads an image file as an extractor wants it: float32 (size, size, 3) in 0…255.

    Raises:
        UserError: it cannot be decoded.
    """
    return resize(read_image_file(path), size)


def compute_features(paths: Sequence[Path], extractor: Extractor, batch_size: int) -> Iterator[np.ndarray]:
    """Computes the features of image files, and yields them in blocks of up to `batch_size` rows, float32 (n, D).

    Reading and resizing go on in other threads while the extractor works on a batch.

    Args:
        paths: the files, in the order of the rows.
        extractor: what turns pixels into features.
        batch_size: images per batch.
    """
    pixels = ordered_map(partial(load_pixels, size=extractor.image_size), paths, ahead=2 * batch_size)
    while batch := list(islice(pixels, batch_size)):
        yield extractor(np.stack(batch))
