"""Samples of more than 8 bits: what is black and what is white is the data set's, not each image's."""

import re
import sys
from collections.abc import Mapping
from math import ceil, floor, log2
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import orjson
from PIL import Image
from PIL.ImageFile import ImageFile

Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""The samples that are black and white, by kind: ``integer`` or ``float``."""

LEVELS = 32
_TRIMMED = 0.001  # share of the lowest and of the highest samples that decide nothing
_SAMPLED = 1_000_000  # samples of an image, at least, if it has as many
_FEW = 8  # different levels, of which none is taken for a mark of missing data
_STEPS = 16  # that a range is rounded to, so that new images seldom change it
_ROWS = 256  # that are converted at a time: floats of all take gigabytes
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339  # tags of TIFF
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


class WideImage(NamedTuple):
    """What is known of an image with samples of more than 8 bits."""

    kind: str  # as in `Ranges`
    levels: np.ndarray  # of its samples; see `find_levels`
    lost: float  # share of the samples that have no value, or are far out of the range


def has_wide_colors(image: ImageFile) -> bool:
    """Return whether an image that is not loaded yet has 16 bits per color, of which Pillow takes the higher 8."""
    return bool(image.tile) and all(re.fullmatch(r"RGB[AX]?;16[BLN]", _raw_mode(tile.args)) for tile in image.tile)


def take_low_bytes(image: ImageFile) -> ImageFile:
    """Make Pillow decode the lower 8 bits of an image that `has_wide_colors`, as if its bytes came the other way.

    The image is changed, and returned.
    """
    for place, tile in enumerate(image.tile):
        mode = _raw_mode(tile.args)
        mode = f"{mode[:-1]}{_OTHER_BYTE[mode[-1]]}"
        image.tile[place] = tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)
    return image


def _raw_mode(args: Any) -> str:
    return args if isinstance(args, str) else str(args[0]) if args else ""


def wide_to_8_bits(image: Image.Image, low: Image.Image | None, ranges: Ranges) -> tuple[Image.Image, WideImage] | None:
    """Map an image to 8 bits, and find the levels of its samples; return None if they have 8 bits already.

    `low` is the same image with the lower 8 bits of its colors, if it has 16 of each. The image's own range is taken
    where that of the data set is missing.
    """
    kind, inverted = "float" if image.mode == "F" else "integer", False
    if low is not None:
        high, rest = (np.asarray(each)[..., :3].astype(np.uint16) for each in (image, low))
        samples = high << 8 | rest
    elif image.mode == "F" or image.mode.startswith("I"):
        samples, tags = np.asarray(image), getattr(image, "tag_v2", {})
        inverted = tags.get(_PHOTOMETRIC) == 0  # 0 is white
        if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1 and tags:
            samples = samples.view(np.uint32)  # which Pillow has no mode for
    else:
        return None
    levels = find_levels(samples)
    mapped, lost = to_8_bits(samples, *(ranges.get(kind) or find_range(kind, levels)))
    result = Image.fromarray(255 - mapped if inverted else mapped)
    if image.mode == "RGBA":
        result.putalpha(image.getchannel("A"))
    return result, WideImage(kind, levels, lost)


def find_levels(samples: np.ndarray) -> np.ndarray:
    """Return evenly spaced quantiles of some samples, float64 (LEVELS,), which occur in them; NaN if none is finite."""
    values = samples.ravel()[:: max(1, samples.size // _SAMPLED)]
    values = values[np.isfinite(values)]
    if not len(values):
        return np.full(LEVELS, np.nan)
    return np.quantile(values, np.linspace(_TRIMMED, 1 - _TRIMMED, LEVELS), method="nearest").astype(np.float64)


def find_range(kind: str, levels: np.ndarray) -> tuple[float, float]:
    """Return the samples that are to be black and white for images with some levels, of any shape.

    Lone values far from all others stand for missing data and decide nothing. Black is 0 if samples go from there to
    twice as high, and whole numbers are then white at all bits set; else the range is rounded outwards.
    """
    values = np.sort(levels[np.isfinite(levels)])
    different = np.unique(values)
    while len(different) > _FEW:
        first, second, *_, before, last = different.tolist()
        if second - first > last - second:
            different = different[1:]
        elif last - before > before - first:
            different = different[:-1]
        else:
            break
    values = values[(values >= different[0]) & (values <= different[-1])] if len(different) else np.zeros(1)
    low, high = np.quantile(values, [_TRIMMED, 1 - _TRIMMED], method="nearest").tolist()
    low = 0 if 0 <= low <= high / 2 else low
    if low == 0 and kind != "float":
        return 0, 2 ** max(1, ceil(log2(high + 1))) - 1
    step = 2.0 ** (ceil(log2(high - low)) if high > low else 0) / _STEPS
    black = floor(low / step) * step
    return black, max(ceil(high / step) * step, black + step)


def to_8_bits(samples: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float]:
    """Map samples to uint8, NaN to black; also return the share that have no value or are far out of the range."""
    mapped, lost = np.empty(samples.shape, np.uint8), 0
    with np.errstate(invalid="ignore", over="ignore"):
        for top in range(0, len(samples), _ROWS):
            values = (samples[top : top + _ROWS].astype(np.float64) - low) / (high - low)
            lost += np.count_nonzero(~(np.abs(values - 0.5) <= 1.5))
            mapped[top : top + _ROWS] = np.rint(np.nan_to_num(np.clip(values, 0, 1)) * 255)
    return mapped, float(lost / samples.size)


def write_ranges(path: Path, ranges: Ranges) -> None:
    """Write ranges as JSON."""
    path.write_bytes(orjson.dumps(ranges, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_ranges(path: Path) -> Ranges:
    """Read what `write_ranges` wrote."""
    return {kind: (low, high) for kind, (low, high) in orjson.loads(path.read_bytes()).items()}
