"""Everyday edits of a picture, after which it should still be found; used to measure only, never to learn."""

import io
from collections.abc import Callable
from math import cos, radians, sin

import numpy as np
from PIL import Image, ImageFilter

_JPEG_QUALITY, _JPEG_MAX_SIDE = 40, 65_500  # pixels, by libjpeg
_CROP = 0.8  # of each side
_BRIGHTNESS = 1.3
_ANGLE = 8  # degrees, counterclockwise
_BLUR = 1  # pixel, standard deviation


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((_JPEG_MAX_SIDE, _JPEG_MAX_SIDE))
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _crop(pixels: np.ndarray, share: float = _CROP) -> np.ndarray:
    """Crop to the center of an image, a share of each side."""
    height, width = (max(1, round(side * share)) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _brighten(pixels: np.ndarray) -> np.ndarray:
    return np.minimum(np.rint(pixels.astype(np.float32) * _BRIGHTNESS), 255).astype(np.uint8)


def _rotate(pixels: np.ndarray) -> np.ndarray:
    """Rotate an image, and crop it to the largest centered part of its shape without empty corners."""
    height, width = pixels.shape[:2]
    cosine, sine = cos(radians(_ANGLE)), sin(radians(_ANGLE))
    filled = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    return _crop(np.asarray(Image.fromarray(pixels).rotate(_ANGLE, Image.Resampling.BICUBIC)), filled)


def _halve(pixels: np.ndarray) -> np.ndarray:
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


EDITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "jpeg": _jpeg,
    "cropped": _crop,
    "brighter": _brighten,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "rotated": _rotate,
    "half_size": _halve,
    "gray": lambda pixels: np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")),
    "blurred": lambda pixels: np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(_BLUR))),
}
"""Each maps RGB pixels, uint8 (height, width, 3), to such pixels, perhaps of another size."""


def edit(pixels: np.ndarray, name: str) -> np.ndarray:
    """Apply one of `EDITS` to RGB pixels, uint8 (height, width, 3)."""
    return np.ascontiguousarray(EDITS[name](np.ascontiguousarray(pixels)))
