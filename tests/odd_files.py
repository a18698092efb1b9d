"""A seeded corpus of odd image files: each kind of picture, and each kind of damage to it."""

import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pillow_heif
from PIL import Image

from samples import encode
from similarity.data.images.decoding import IMAGE_SUFFIXES
from similarity.data.sources.ceramics import CLASSES, draw_picture

MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB"),
    "AVIF": ("RGB", "RGBA"),
    "HEIF": ("RGB",),
}
SHAPES = ((1, 1), (1, 2), (2, 1), (3, 3), (1, 2500), (2500, 1), (7, 400), (400, 7), (16, 16), (33, 21))
SUFFIXES = sorted(IMAGE_SUFFIXES)

pillow_heif.register_heif_opener()


class OddFile(NamedTuple):
    """What is odd about a file, its content, and whether it must be readable (None: it may)."""

    kind: str
    content: bytes
    is_readable: bool | None


@cache
def draw(number: int) -> Image.Image:
    return Image.fromarray(draw_picture(CLASSES[number % len(CLASSES)], 3, number, 24))


def picture(number: int, size: tuple[int, int], mode: str) -> Image.Image:
    """One of ten drawn wares in some mode, at some size as (width, height)."""
    drawn = draw(number % 10).resize(size)
    if mode == "I;16":
        return Image.fromarray(np.asarray(drawn.convert("L"), np.uint16) * 257)
    if mode == "LAB":
        return Image.merge("LAB", drawn.split())
    return drawn.convert(mode)


def sound_files(rng: np.random.Generator) -> Iterator[OddFile]:
    """Pictures of every mode and shape, animations, and odd metadata."""
    for file_format, modes in MODES.items():
        for mode in modes:
            for number, size in enumerate(SHAPES):
                image = picture(number, size, mode)
                is_readable = None if mode == "LAB" else True
                yield OddFile(f"{file_format} {mode} {size}", encode(image, file_format), is_readable)
        frames = [picture(number, (20, 12), "RGB") for number in range(3)]
        if file_format in {"GIF", "PNG", "WEBP", "TIFF"}:  # that of AVIF has the time in it
            animation = encode(frames[0], file_format, save_all=True, append_images=frames[1:])
            yield OddFile(f"animated {file_format}", animation, True)
    yield OddFile("long PNG", encode(picture(5, (1, 20_000), "RGB"), "PNG"), True)
    small, palette = picture(2, (20, 12), "RGB"), picture(2, (20, 12), "P")
    yield OddFile("transparent palette", encode(palette, "PNG", transparency=3), True)
    yield OddFile("progressive", encode(small, "JPEG", progressive=True), True)
    yield OddFile("bytes behind the end", encode(small, "PNG") + rng.bytes(500), True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield OddFile(compression, encode(small, "TIFF", compression=compression), True)
    for number in range(60):  # damaged metadata must not make a picture unreadable
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12"[: number % 20] + rng.bytes(number % 60)
        yield OddFile("odd EXIF", encode(picture(number, (20, 12), "RGB"), "JPEG", exif=exif), True)


def other_files(rng: np.random.Generator) -> Iterator[OddFile]:
    """What is no picture, or one of a format that is not opened."""
    for file_format in ("EPS", "ICO", "PCX", "QOI", "SGI", "TGA"):
        yield OddFile(file_format, encode(picture(4, (20, 12), "RGB"), file_format), False)
    starts = b"P6", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
    texts = b"", bytes(300), b"<html>Please log in</html>", b"%PDF-1.4\n", *starts
    for content in (*texts, *(rng.bytes(int(size)) for size in rng.integers(1, 400, 40))):
        yield OddFile("no picture", content, False)
    yield OddFile("bomb", bomb(), False)


def bomb() -> bytes:
    """A small PNG file that claims to be a picture of 3.6 gigapixels."""
    content = bytearray(encode(Image.new("1", (8, 8)), "PNG"))
    content[16:24] = 2 * (60_000).to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = np.frombuffer(content, np.uint8).copy()
    places = rng.integers(0, len(damaged), int(rng.integers(1, 20)))
    damaged[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
    return damaged.tobytes()


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off the end, or overwrite, insert, or remove a part."""
    start, length = int(rng.integers(0, len(content))), int(rng.integers(1, 40))
    before, after, new = content[:start], content[start + length :], rng.bytes(length)
    return (before, before + new + after, before + new + content[start:], before + after)[int(rng.integers(0, 4))]


def damage_head(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits of the first bytes, which hold sizes, kinds and offsets."""
    return flip_bits(content[:64], rng) + content[64:]


def write_corpus(folder: Path, seed: int, damaged: int) -> dict[str, OddFile]:
    """Write files, of which `damaged` by each kind of damage, in class folders with any suffix; return them by key."""
    rng = np.random.default_rng(seed)
    sound = list(sound_files(rng))
    files = [*sound, *other_files(rng)]
    for damage in (flip_bits, cut, damage_head):
        for chosen in rng.integers(0, len(sound), damaged):
            origin = sound[chosen]
            files.append(OddFile(f"{damage.__name__}: {origin.kind}", damage(origin.content, rng), None))
    corpus = {}
    for number, file in enumerate(files):
        key = f"class{number % 3}/{number:05d}{SUFFIXES[int(rng.integers(0, len(SUFFIXES)))]}"
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(file.content)
        corpus[key] = file
    return corpus
