"""Everyday edits of a picture, after which it should still be found; used to measure only, never to learn."""

import io
from collections.abc import Callable
from math import cos, radians, sin

import numpy as np
from PIL import Image, ImageFilter

_JPEG_QUALITY, _JPEG_MAX_SIDE = 40, 65_500  # pixels, by libjpeg
_CROP = 0.8  # of each side
_BRIGHTNESS = np.float32(1.3)
_ANGLE = 8  # degrees, counterclockwise
_BLUR = 1  # pixel, standard deviation


def _jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.thumbnail((_JPEG_MAX_SIDE, _JPEG_MAX_SIDE))
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return Image.open(buffer)


def _crop(image: Image.Image, share: float = _CROP) -> Image.Image:
    """Crop to the center of an image, a share of each side."""
    width, height = (max(1, round(side * share)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _rotate(image: Image.Image) -> Image.Image:
    """Rotate an image, and crop it to the largest centered part of its shape without empty corners."""
    (width, height), cosine, sine = image.size, cos(radians(_ANGLE)), sin(radians(_ANGLE))
    filled = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    return _crop(image.rotate(_ANGLE, Image.Resampling.BICUBIC), filled)


def _halve(image: Image.Image) -> Image.Image:
    return image.resize([max(1, side // 2) for side in image.size], Image.Resampling.BILINEAR)


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": _jpeg,
    "cropped": _crop,
    "brighter": lambda image: image.point(lambda value: min(round(float(value * _BRIGHTNESS)), 255)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated": _rotate,
    "half_size": _halve,
    "gray": lambda image: image.convert("L"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(_BLUR)),
}
"""Each maps an RGB image to an image, perhaps of another size."""


def edit(pixels: np.ndarray, name: str) -> np.ndarray:
    """Apply one of `EDITS` to RGB pixels, uint8 (height, width, 3); the result may have another size."""
    return np.asarray(EDITS[name](Image.fromarray(pixels)).convert("RGB"))
