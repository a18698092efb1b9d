"""Samples of more than 8 bits: what is black and what is white is the data set's, not each image's."""

import re
import sys
from collections.abc import Callable, Mapping
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
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


class Wide(NamedTuple):
    """Samples of more than 8 bits, of any numeric dtype: gray, (height, width), or RGB, (height, width, 3)."""

    kind: str
    samples: np.ndarray
    is_inverted: bool = False  # 0 is white


def has_wide_colors(image: ImageFile) -> bool:
    """Return whether an image that is not loaded yet has 16 bits per color, of which Pillow takes the higher 8."""
    modes = {_raw_mode(tile.args) for tile in image.tile}
    return bool(modes) and all(re.fullmatch(r"(RGB[AX]?|[RGB]);16[BLN]", mode) for mode in modes)


def take_low_bytes(image: ImageFile) -> None:
    """Make Pillow decode the lower 8 bits of an image that `has_wide_colors`, as if its bytes came the other way."""
    _replace_raw_modes(image, lambda mode: f"{mode[:-1]}{_OTHER_BYTE[mode[-1]]}")


def correct_tiles(image: ImageFile) -> None:
    """Correct how Pillow reads 16 bits: as 8 if a TIFF has its colors in planes, and in minutes if a PPM has fewer."""
    if _tag(image, _BITS) == 16 and {_raw_mode(tile.args) for tile in image.tile} == {"R", "G", "B"}:
        order = "L" if image.tag_v2.prefix.startswith(b"I") else "B"  # type: ignore[attr-defined]
        _replace_raw_modes(image, lambda mode: f"{mode};16{order}")
    for tile in image.tile:
        if tile.codec_name == "ppm" and isinstance(tile.args, tuple) and int(tile.args[-1] or 0) > 255:
            image.tile = [tile._replace(codec_name="raw", args=(f"{image.mode};16B", 0, 1))]


def _replace_raw_modes(image: ImageFile, replace: Callable[[str], str]) -> None:
    for place, tile in enumerate(image.tile):
        mode = replace(_raw_mode(tile.args))
        image.tile[place] = tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)


def _raw_mode(args: Any) -> str:
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _tag(image: Image.Image, number: int, default: int = 1) -> int | None:
    """Return the first value of a tag of a TIFF, None of other formats."""
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else int(np.ravel(tags.get(number, default))[0])


def wide_samples(image: Image.Image, low: Image.Image | None = None) -> Wide | None:
    """Return the samples of an image if they have more than 8 bits; `low` has the lower ones of its colors."""
    if low is not None:
        high, rest = (np.asarray(each)[..., :3].astype(np.uint16) for each in (image, low))
        return Wide("integer", high << 8 | rest)
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    samples, is_inverted = np.asarray(image), _tag(image, _PHOTOMETRIC) == 0
    if image.mode == "I" and _tag(image, _SAMPLE_FORMAT) == 1:
        samples = samples.view(np.uint32)  # which Pillow has no mode for
    return Wide("float" if image.mode == "F" else "integer", samples, is_inverted)


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
    """Map samples to uint8, of the same shape; also return the share that have no value or are far out of the range.

    NaN becomes black.
    """
    mapped, lost = np.empty(samples.shape, np.uint8), 0
    with np.errstate(invalid="ignore", over="ignore"):
        for top in range(0, len(samples), _ROWS):
            values = (samples[top : top + _ROWS].astype(np.float64) - low) / (high - low)
            lost += np.count_nonzero(~(np.abs(values - 0.5) <= 1.5))
            mapped[top : top + _ROWS] = np.rint(np.nan_to_num(np.clip(values, 0, 1)) * 255)
    return mapped, float(lost / samples.size)


def write_ranges(path: Path, ranges: Ranges) -> None:
    """Write ranges as JSON."""
    path.write_bytes(orjson.dumps(dict(sorted(ranges.items())), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_ranges(path: Path) -> Ranges:
    """Read what `write_ranges` wrote."""
    return {kind: (low, high) for kind, (low, high) in orjson.loads(path.read_bytes()).items()}
