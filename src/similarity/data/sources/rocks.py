"""The generated demo set: six kinds of rock-like textures that cannot be distinguished by color alone.

Each texture is a field of brightness; a palette drawn from nearly the same distribution for every class colors it.
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial import KDTree

_OVERSAMPLING = 2
_MAX_OVERPRINT = 0.8  # rocks are altered: how much of another class's texture may show, in deviations of their own


class _Canvas:
    """A surface for one texture: random numbers, coordinates in image widths, and a random strike direction."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self.zoom = rng.uniform(0.7, 1.4)  # how close the camera was
        axis = (np.arange(size) + 0.5) / size - 0.5
        self.x, self.y = np.meshgrid(axis / self.zoom, axis / self.zoom)
        self.angle = rng.uniform(0, np.pi)

    def noise(self, length: float, stretch: float = 1.0) -> np.ndarray:
        """Draw noise of mean 0 and deviation 1, smooth over `length` image widths, × `stretch` along strike."""
        frequency = np.fft.fftfreq(self.size, 1 / self.size) * self.zoom
        fx, fy = np.meshgrid(frequency, frequency)
        along = (fx * np.cos(self.angle) + fy * np.sin(self.angle)) * length * stretch
        across = (fy * np.cos(self.angle) - fx * np.sin(self.angle)) * length
        spectrum = np.fft.fft2(self.rng.standard_normal((self.size, self.size)))
        field = np.fft.ifft2(spectrum * np.exp(-2 * (along**2 + across**2))).real
        return (field - field.mean()) / (field.std() + 1e-12)

    def fractal(self, length: float, octaves: int = 4) -> np.ndarray:
        """Draw noise with detail at every scale below `length`."""
        return np.sum([0.55**i * self.noise(length / 2**i) for i in range(octaves)], axis=0) / 1.2

    def across(self, bend: float) -> np.ndarray:
        """Return the distance across the strike in image widths, bent by up to about `bend`."""
        return self.y * np.cos(self.angle) - self.x * np.sin(self.angle) + bend * self.noise(0.35)

    def scatter(self, count: int) -> np.ndarray:
        """Draw random points over the picture, (count, 2)."""
        half = 0.6 / self.zoom
        return self.rng.uniform(-half, half, (count, 2))


def _crystals(canvas: _Canvas) -> np.ndarray:
    """Andesite: pale laths in every direction in a fine dark groundmass."""
    rng = canvas.rng
    shade = np.zeros_like(canvas.x)
    for x, y in canvas.scatter(int(rng.integers(14, 38))):
        angle, length, width = rng.uniform((0, 0.03, 0.012), (np.pi, 0.1, 0.04))
        along = (canvas.x - x) * np.cos(angle) + (canvas.y - y) * np.sin(angle)
        across = (canvas.y - y) * np.cos(angle) - (canvas.x - x) * np.sin(angle)
        inside = (np.abs(along) < length) & (np.abs(across) < width)
        shade[inside] = rng.uniform(1.3, 3.2)
    return shade + 0.6 * canvas.noise(0.014)


def _bands(canvas: _Canvas) -> np.ndarray:
    """Gneiss: broad, wavy, light and dark bands of coarse grain."""
    period = canvas.rng.uniform(0.14, 0.34)
    phase = 2 * np.pi * canvas.across(canvas.rng.uniform(0.02, 0.08)) / period
    bands = np.tanh(2 * np.sin(phase + 0.5 * canvas.noise(0.15)))
    return bands + 0.5 * canvas.noise(0.02, 2.0)


def _veins(canvas: _Canvas) -> np.ndarray:
    """Marble: a cloudy, smooth ground with a net of thin veins."""
    sharpness = canvas.rng.uniform(5, 11)
    veins = sum(
        weight * np.exp(-sharpness * np.abs(canvas.fractal(length)))
        for weight, length in ((1.0, canvas.rng.uniform(0.2, 0.4)), (0.5, 0.14))
    )
    return 0.45 * canvas.fractal(0.4, 3) - 2.4 * veins * canvas.rng.choice([1, 1, -1])


def _grains(canvas: _Canvas) -> np.ndarray:
    """Quartzite: a mosaic of interlocking grains of even size."""
    count = int(canvas.rng.integers(60, 170))
    distance, owner = KDTree(canvas.scatter(count)).query(np.stack([canvas.x, canvas.y], axis=-1), k=2)
    edges = np.exp((distance[..., 0] - distance[..., 1]) / 0.012)
    return canvas.rng.standard_normal(count)[owner[..., 0]] - 0.9 * edges + 0.3 * canvas.noise(0.015)


def _flow(canvas: _Canvas) -> np.ndarray:
    """Rhyolite: swirling, broken streaks of flow around a few crystals."""
    swirl = canvas.across(canvas.rng.uniform(0.06, 0.16)) + 0.03 * canvas.noise(0.12)
    streaks = np.sin(2 * np.pi * swirl / canvas.rng.uniform(0.09, 0.18)) * (0.6 + 0.5 * canvas.noise(0.1))
    eyes = np.zeros_like(canvas.x)
    for x, y in canvas.scatter(int(canvas.rng.integers(2, 9))):
        eyes += np.exp(-((canvas.x - x) ** 2 + (canvas.y - y) ** 2) / canvas.rng.uniform(0.015, 0.035) ** 2)
    return streaks + 2.2 * eyes + 0.5 * canvas.noise(0.014)


def _foliation(canvas: _Canvas) -> np.ndarray:
    """Schist: thin, nearly parallel leaves with bright flecks of mica along them."""
    leaves = canvas.noise(0.018, canvas.rng.uniform(7, 16))
    crenulation = np.sin(2 * np.pi * canvas.across(canvas.rng.uniform(0.01, 0.04)) / canvas.rng.uniform(0.035, 0.07))
    flecks = np.maximum(canvas.noise(0.01, 4.0) - 1.4, 0)
    return leaves + canvas.rng.uniform(0.1, 0.6) * crenulation + 1.4 * flecks


_TEXTURES: dict[str, Callable[[_Canvas], np.ndarray]] = {
    "andesite": _crystals,
    "gneiss": _bands,
    "marble": _veins,
    "quartzite": _grains,
    "rhyolite": _flow,
    "schist": _foliation,
}
CLASSES = tuple(_TEXTURES)

# Mean of each class's hue (degrees) and lightness (0…1): a hint of color, drowned in the spread within a class.
_TINTS = {
    "andesite": (210, 0.40),
    "gneiss": (25, 0.50),
    "marble": (60, 0.62),
    "quartzite": (45, 0.56),
    "rhyolite": (350, 0.52),
    "schist": (110, 0.45),
}


def draw_rock(label: str, seed: int, number: int, size: int) -> np.ndarray:
    """Draw one picture of the demo set, RGB, uint8 (size, size, 3); it does not depend on how many others are drawn."""
    rng = np.random.default_rng([seed, CLASSES.index(label), number])
    texture = _standardized(_TEXTURES[label](_Canvas(rng, size * _OVERSAMPLING)))
    overprint = _TEXTURES[str(rng.choice(CLASSES))](_Canvas(rng, size * _OVERSAMPLING))
    texture += rng.uniform(0, _MAX_OVERPRINT) * _standardized(overprint)
    return _photograph(_color(texture, _TINTS[label], rng), rng)


def _color(texture: np.ndarray, tint: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Lay a two-color palette over a texture: RGB in 0…1."""
    hue = np.deg2rad(tint[0] + rng.normal(0, 40))
    tone = np.array([np.cos(hue), np.cos(hue - 2 * np.pi / 3), np.cos(hue + 2 * np.pi / 3)])
    lightness = np.clip(rng.normal(tint[1], 0.11), 0.2, 0.8)
    contrast = rng.uniform(0.07, 0.17)
    level = np.clip(_standardized(texture), -2.5, 2.5)[..., None]
    dark, light = rng.uniform(0, 0.08, 2)
    return lightness + contrast * level + tone * (dark + (light - dark) * (level + 2.5) / 5)


def _standardized(field: np.ndarray) -> np.ndarray:
    return (field - np.median(field)) / (field.std() + 1e-9)


def _photograph(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add uneven light, sensor noise and a little blur, and average down to the final size: uint8."""
    size = len(rgb)
    axis = np.linspace(-1, 1, size)
    slope = rng.normal(0, 0.06, 2)
    lit = rgb * (1 + slope[0] * axis[:, None] + slope[1] * axis[None, :])[..., None]
    small = lit.reshape(size // _OVERSAMPLING, _OVERSAMPLING, size // _OVERSAMPLING, _OVERSAMPLING, 3).mean(axis=(1, 3))
    blur = rng.uniform(0, 0.5)
    padded = np.pad(small, ((1, 1), (1, 1), (0, 0)), mode="edge")
    neighbors = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    noisy = small + blur * (neighbors - small) + rng.normal(0, rng.uniform(0.01, 0.035), small.shape)
    return (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
