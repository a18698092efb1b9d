"""Images of nothing that a data set is about: what a search has to say "nothing similar" to."""

from collections.abc import Callable

import numpy as np
from PIL import Image


def draw_foreign(kind: str, number: int, size: int, seed: int) -> np.ndarray:
    """Draw the image of a number and of one of the `KINDS`; `size`, at least 16, is its side in pixels.

    Returns:
        RGB, uint8 (size, size, 3), the same for the same arguments.
    """
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    return KINDS[kind](rng, size)


def _checkerboard(rng: np.random.Generator, size: int) -> np.ndarray:
    cells = np.arange(size) // max(1, int(size * rng.uniform(0.05, 0.3)))
    return np.where(((cells[:, None] + cells) % 2)[..., None], *_colors(rng, 2)).astype(np.uint8)


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    position = np.arange(size) / (size - 1) - 0.5
    along = (np.cos(angle) * position[:, None] + np.sin(angle) * position)[..., None] / np.sqrt(2) + 0.5
    first, second = _colors(rng, 2)
    return (first * (1 - along) + second * along).astype(np.uint8)


def _noise(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.integers(0, 256, (size, size, 3), np.uint8)


def _plain(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.broadcast_to(_colors(rng, 1)[0], (size, size, 3)).astype(np.uint8)


def _colors(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 256, (count, 3))


_DRAWINGS = (_checkerboard, _clouds, _gradient, _noise, _plain)
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {each.__name__[1:]: each for each in _DRAWINGS}
