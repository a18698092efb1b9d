"""The generated demo set: photograph-like pictures of six kinds of ceramics, which differ in form but not in color.

A solid is a stack of discs. Drawn from the lowest to the highest, each disc hides what it hides from a camera above it;
interpolation between two discs gives the height, direction and normal of each visible point.
Lengths are in pixels of the canvas unless stated; x points right, y up and z to the camera.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.interpolate import PchipInterpolator

_OVERSAMPLING = 2
_DISCS = 80  # of a solid

# Points on the outline of each class from the foot to the rim: height, least and greatest radius.
_OUTLINES = {
    "bottle": [(0, 0.16, 0.22), (0.08, 0.18, 0.25), (0.5, 0.16, 0.25), (0.72, 0.05, 0.09), (1, 0.05, 0.08)],
    "bowl": [(0, 0.2, 0.28), (0.04, 0.2, 0.28), (0.12, 0.34, 0.42), (0.28, 0.46, 0.52), (0.4, 0.5, 0.58)],
    "jug": [(0, 0.18, 0.26), (0.3, 0.27, 0.36), (0.66, 0.15, 0.21), (0.84, 0.15, 0.21), (0.95, 0.18, 0.26)],
    "mug": [(0, 0.22, 0.28), (0.05, 0.25, 0.3), (0.3, 0.25, 0.34), (0.6, 0.26, 0.33)],
    "teapot": [(0, 0.2, 0.27), (0.24, 0.34, 0.42), (0.46, 0.23, 0.29), (0.5, 0.16, 0.21), (0.55, 0.03, 0.05),
               (0.61, 0.05, 0.07), (0.65, 0, 0)],
    "vase": [(0, 0.1, 0.19), (0.35, 0.16, 0.33), (0.6, 0.16, 0.3), (0.82, 0.08, 0.16), (1, 0.15, 0.28)],
}  # fmt: skip
CLASSES = tuple(_OUTLINES)
# Handle and spout: Bézier points, as distance from the axis in greatest radii and height; first and last radius.
_TUBES = {
    "jug": [([(0.5, 0.84), (1.9, 1.05), (1.7, 0.4), (0.88, 0.3)], 0.04, 0.035),
            ([(0.5, 0.8), (0.65, 0.86), (0.95, 0.95)], 0.085, 0.035)],
    "mug": [([(0.9, 0.5), (1.9, 0.56), (1.9, 0.04), (0.9, 0.12)], 0.04, 0.035)],
    "teapot": [([(0.75, 0.4), (1.75, 0.62), (1.9, 0.1), (0.9, 0.13)], 0.04, 0.035),
               ([(0.8, 0.16), (1.5, 0.08), (1.25, 0.42), (1.75, 0.52)], 0.085, 0.035)],
}  # fmt: skip
_CLUTTER = ([(0, 0.01), (0.3, 0.4), (0.5, 0.5), (0.7, 0.4), (1, 0.01)], [(0, 0.3), (1, 0.3)], [(0, 0.4), (1, 0.05)])
_GLAZES = np.array([(237, 232, 219), (41, 69, 128), (66, 128, 122), (184, 92, 56), (219, 168, 76), (128, 148, 92),
    (158, 76, 87), (56, 56, 62), (212, 178, 148), (140, 168, 191), (107, 76, 61), (224, 199, 204)]) / 255  # fmt: skip
_GROUNDS = np.array([(153, 112, 76), (107, 76, 51), (209, 194, 173), (184, 186, 189), (90, 94, 102), (158, 173, 158),
    (199, 158, 128), (128, 143, 163), (230, 227, 222), (76, 92, 87)]) / 255  # fmt: skip
# Visible points: their rows and columns, angles around the axis, shares of the solid's height, (n,), normals (n, 3).
_Points = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_Part = tuple[float, _Points, np.ndarray | float, bool]  # order of painting, points, shade, whether plain


class _Scene:
    """A canvas, RGB in 0…1, (size, size, 3), with a camera and a light."""

    def __init__(self, rng: np.random.Generator, pixels: np.ndarray) -> None:
        self.rng, self.pixels, self.size = rng, pixels, len(pixels)
        elevation = rng.uniform(0.15, 0.7)
        self.sin, self.cos = np.sin(elevation), np.cos(elevation)
        light = np.array([rng.choice([-1, 1]) * rng.uniform(0.2, 0.9), rng.uniform(0.7, 1.1), rng.uniform(0.2, 0.8)])
        self.light = light / np.linalg.norm(light)

    def discs(self, x: np.ndarray, y: np.ndarray, radii: np.ndarray, flatness: float) -> np.ndarray:
        """Draw numbered discs over each other: the last disc at each pixel, from 1, or 0; uint8 (size, size)."""
        canvas = Image.new("L", (self.size, self.size))
        draw, high = ImageDraw.Draw(canvas), radii * flatness
        for i, box in enumerate(np.stack([x - radii, y - high, x + radii, y + high], axis=1).tolist(), 1):
            draw.ellipse(box, fill=i)
        return np.asarray(canvas)

    def solid(self, x: float, y: float, heights: np.ndarray, radii: np.ndarray) -> _Points:
        """Find the visible points of a solid whose foot is at (x, y) of the canvas."""
        discs = self.discs(np.full(len(heights), x), y - heights * self.cos, radii, self.sin)
        rows, columns = np.nonzero(discs)
        right, up = (columns + 0.5 - x).astype(np.float32), (y - rows - 0.5).astype(np.float32)
        lower = discs[rows, columns].astype(int) - 1
        upper = np.minimum(lower + 1, len(heights) - 1)

        def outside(disc: np.ndarray) -> np.ndarray:
            return (right**2 + ((up - heights[disc] * self.cos) / self.sin) ** 2) / radii[disc] ** 2 - 1

        share = np.clip(-outside(lower) / np.maximum(outside(upper) - outside(lower), 1e-9), 0, 1)
        solid = np.stack([heights, radii, np.gradient(radii, heights)], dtype=np.float32)
        height, radius, slope = solid[:, lower] + share * (solid[:, upper] - solid[:, lower])
        right = np.clip(right / radius, -1, 1)
        toward = np.sqrt(1 - right**2) * np.where(height * self.cos < up, -1, 1)
        normal = _normalized(np.stack([right, -slope, toward], axis=1))
        return rows, columns, np.arctan2(right, toward), height / heights[-1], normal

    def mouth(self, x: float, y: float, radius: float) -> _Points:
        """Find the visible points inside a rim around (x, y), as if it were that of a hollow ball."""
        rows, columns = np.nonzero(self.discs(np.array([x]), np.array([y]), np.array([radius]), self.sin))
        right, away = (columns + 0.5 - x) / radius, (y - rows - 0.5) / (radius * self.sin)
        normal = _normalized(np.stack([-right, 0.9 - 0.4 * away, away], axis=1))
        return rows, columns, np.arctan2(right, away), away, normal

    def tube(self, x: float, y: float, side: float, bends: np.ndarray, first: float, last: float) -> _Points:
        """Find the visible points of a bent tube; `bends` are its Bézier points, distance from the axis and height."""
        curve, radii = np.repeat(bends[:, None], _DISCS, axis=1), np.linspace(first, last, _DISCS)
        while len(curve) > 1:
            curve = curve[:-1] + (curve[1:] - curve[:-1]) * np.linspace(0, 1, _DISCS)[:, None]
        out, height = curve[0].T
        xs, ys = x + out * np.sin(side), y - height * self.cos + out * np.cos(side) * self.sin
        discs = self.discs(xs, ys, radii, 1)
        rows, columns = np.nonzero(discs)
        disc = discs[rows, columns].astype(int) - 1
        dx, dy = _normalized(np.stack([np.gradient(xs), np.gradient(ys)], axis=1))[disc].T
        across = np.clip(((rows + 0.5 - ys[disc]) * dx - (columns + 0.5 - xs[disc]) * dy) / radii[disc], -1, 1)
        right, up, toward = -dy * across, -dx * across, np.sqrt(1 - across**2)
        normal = np.stack([right, up * self.cos + toward * self.sin, toward * self.cos - up * self.sin], axis=1)
        return rows, columns, np.full(len(rows), side), height[disc] / height.max(), normal

    def darken(self, x: float, y: float, heights: np.ndarray, radii: np.ndarray) -> None:
        """Lay the soft shadow of a solid on the ground."""
        shift = heights / self.light[1]
        discs = self.discs(x - shift * self.light[0], y - shift * self.light[2] * self.sin, radii, self.sin)
        shadow = Image.fromarray((discs > 0).astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(self.size * 0.02))
        self.pixels *= 1 - np.asarray(shadow, np.float32)[..., None] / np.float32(255 * self.rng.uniform(1.6, 3))


class _Glaze:
    """Two colors and a pattern, the same on all parts of an object."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first, self.second = rng.permutation(_GLAZES)[:2] + rng.normal(0, 0.04, (2, 3))
        self.pattern, self.count = rng.integers(0, 7), rng.integers(4, 12)
        self.phase, self.edge = rng.uniform(0, 7), rng.uniform(0.25, 0.75)
        self.gloss, self.grain = rng.uniform(0.05, 0.6), rng.uniform(0.003, 0.02)

    def paint(self, scene: _Scene, points: _Points, shade: np.ndarray | float = 1, plain: bool = False) -> None:
        """Paint points in the scene's light; `shade` multiplies the brightness."""
        rows, columns, angle, level, normal = points
        angle = angle + self.phase
        turns = angle * self.count / 2
        amount = [
            lambda: np.full(len(angle), -1.0),
            lambda: level - self.edge + 0.04 * np.sin(3 * angle) + 0.02 * np.sin(7 * angle),  # dipped
            lambda: 0.12 - np.abs(level - self.edge),  # a belt
            lambda: np.sin(level * 3 * self.count) - 0.5,  # rings
            lambda: np.sin(2 * turns) - 0.3,  # stripes
            lambda: np.sin(turns) * np.sin(level * 2.2 * self.count) - 0.45,  # dots
            lambda: np.sin(turns + level * 9) * np.sin(turns - level * 9) - 0.1,  # a lattice
        ][0 if plain else self.pattern]()
        color = self.first + (self.second - self.first) * np.clip(amount * 9 + 0.5, 0, 1)[:, None]
        color += scene.rng.normal(0, self.grain, (len(angle), 1))
        half = scene.light + np.array([0, scene.sin, scene.cos])
        shine = self.gloss * np.exp(40 * np.minimum(normal @ (half / np.linalg.norm(half)) - 1, 0))
        light = 0.5 + 0.14 * normal[:, 1] + 0.62 * np.maximum(normal @ scene.light, 0)
        scene.pixels[rows, columns] = color * (light * shade)[:, None] + (shine * shade)[:, None]


def draw_picture(label: str, seed: int, number: int, size: int) -> np.ndarray:
    """Draw one picture of the demo set, RGB, uint8 (size, size, 3); it does not depend on how many others are drawn."""
    rng = np.random.default_rng([seed, CLASSES.index(label), number])
    horizon, canvas = rng.uniform(0.2, 0.55), size * _OVERSAMPLING
    room = _image(_room(rng, size, horizon)).resize((canvas, canvas), Image.Resampling.BILINEAR)
    scene = _Scene(rng, np.asarray(room, np.float32) / 255)
    for _ in range(rng.integers(0, 4)):
        tall, outline = rng.uniform(0.1, 0.3) * canvas, np.transpose(_CLUTTER[rng.integers(len(_CLUTTER))])
        heights = np.linspace(0, 1, _DISCS // 2)
        radii = PchipInterpolator(*outline)(heights) * tall * rng.uniform(0.6, 1)
        solid = rng.uniform(0, canvas), (horizon + rng.uniform(0.04, 0.2)) * canvas, heights * tall, radii
        scene.darken(*solid)
        _Glaze(rng).paint(scene, scene.solid(*solid))
    blurred = _image(scene.pixels).filter(ImageFilter.BoxBlur(rng.uniform(0, 0.02) * canvas))  # out of focus
    scene.pixels = np.asarray(blurred, np.float32) / 255
    _draw_object(scene, label)
    photo = np.asarray(_image(scene.pixels).reduce(_OVERSAMPLING), np.float32) / 255
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    slope, vignette, warm = rng.normal(0, 0.1, 2), rng.uniform(0, 0.15), rng.normal(0, 0.05)
    light = 1 + slope[0] * axis[:, None] + slope[1] * axis - vignette * (axis[:, None] ** 2 + axis**2)
    tint = np.array([1 + warm, 1, 1 - warm]) * rng.uniform(0.85, 1.3)
    noise = rng.standard_normal(photo.shape, np.float32) * rng.uniform(0.003, 0.018)
    return np.asarray(_image(photo * light[..., None] * tint + noise))


def _draw_object(scene: _Scene, label: str) -> None:
    rng, (levels, least, greatest) = scene.rng, np.transpose(_OUTLINES[label])
    outline = least + (greatest - least) * np.clip(rng.normal(0.5, 0.35, len(least)), 0, 1)
    heights = np.linspace(0, levels[-1], _DISCS)
    radii = np.maximum(PchipInterpolator(levels, outline)(heights), 0.003)
    shown = max(levels[-1] * scene.cos + radii.max() * scene.sin, 2.2 * radii.max())
    zoom = rng.uniform(0.4, 0.85) * scene.size / shown
    heights, radii = heights * zoom, radii * zoom
    top = heights[-1] * scene.cos
    x, y = rng.uniform(0.35, 0.65) * scene.size, rng.normal(0.5, 0.08) * scene.size + top / 2
    scene.darken(x, y, heights, radii)
    body = scene.solid(x, y, heights, radii)
    parts: list[_Part] = [(0, body, np.minimum(0.75 + 3 * body[3], 1), False)]
    if label != "teapot":
        mouth = scene.mouth(x, y - top, radii[-1] * 0.92)
        depth = min(heights[-1] / radii[-1] / 3, 0.8)
        parts.append((0, mouth, 0.85 - depth * (1 - mouth[3]) / 2, True))
    side = rng.choice([-1, 1]) * rng.uniform(0.35, 2.8)
    for i, (bends, first, last) in enumerate(_TUBES.get(label, [])):
        angle, thickness = side + i * np.pi, zoom * rng.uniform(0.85, 1.2)
        tube = scene.tube(x, y, angle, np.array(bends) * (radii.max(), zoom), first * thickness, last * thickness)
        parts.append((float(np.cos(angle)), tube, 1, False))
    glaze = _Glaze(rng)
    for _, points, shade, plain in sorted(parts, key=lambda part: part[0]):
        glaze.paint(scene, points, shade, plain)


def _room(rng: np.random.Generator, size: int, horizon: float) -> np.ndarray:
    """Draw a wall and a table, float32 (size, size, 3)."""
    wall, table, other = rng.permutation(_GROUNDS)[:3].astype(np.float32)
    x, y = np.meshgrid(*[(np.arange(size, dtype=np.float32) + 0.5) / size] * 2)
    near = np.maximum(y - horizon, 0) + 0.35
    across, away = (x - 0.5) / near * 4, 2.5 / near
    grids = (Image.fromarray(rng.standard_normal(cells, np.float32)) for cells in ((60, 60), (6, 6), (70, 3)))
    fine, coarse, streaks = (np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC)) for grid in grids)
    pattern = [
        lambda: 0.1 * coarse,
        lambda: 0.15 * np.sin(6 * streaks + 8 * y),  # wood
        lambda: 0.45 * ((np.sin(4 * across) > 0).astype(np.float32) + (np.sin(4 * away) > 0)) - 0.45,  # checked cloth
        lambda: 0.1 * fine,  # stone
        lambda: 0.8 * ((np.abs(np.sin(2 * across)) < 0.05) | (np.abs(np.sin(2 * away)) < 0.05)),  # tiles
    ][rng.integers(5)]()
    paper = [0.05 * coarse, 0.15 * coarse, 0.05 * fine, 0.12 * np.sin(x * rng.uniform(20, 60))][rng.integers(4)]
    ground = table + (other - table) * pattern[..., None] + 0.02 * fine[..., None]
    back = wall * (1 + paper[..., None]) * (0.75 + 0.35 * y[..., None])
    return back + (ground - back) * np.clip((y - horizon) * rng.choice([6, 40, 200]) + 0.5, 0, 1)[..., None]


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


def _normalized(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
