"""Images of nothing that a data set is about: what a search has to say "nothing similar" to."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,"))


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


def _shapes(rng: np.random.Generator, size: int) -> np.ndarray:
    background, *colors = (tuple(color) for color in _colors(rng, 6).tolist())
    image = Image.new("RGB", (4 * size, 4 * size), background)
    draw = ImageDraw.Draw(image)
    for color in colors:
        x, y, width, height = rng.integers(4 * size // 10, 4 * size * 6 // 10, 4).tolist()
        outline = (x - width // 2, y - height // 2, x + width // 2, y + height // 2)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(outline, fill=color)
    return np.asarray(image.resize((size, size)))


def _text(rng: np.random.Generator, size: int) -> np.ndarray:
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    for y in range(0, size, 10):
        draw.text((0, y), "".join(rng.choice(_LETTERS, size // 5 + 1)), fill="black")
    return np.asarray(image)


def _colors(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 256, (count, 3))


_DRAWINGS = (_checkerboard, _clouds, _gradient, _noise, _plain, _shapes, _text)
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {each.__name__[1:]: each for each in _DRAWINGS}
