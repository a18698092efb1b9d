"""Queries and what was found for them as a contact sheet."""

from pathlib import Path

import numpy as np
from PIL import Image

from similarity.engine.embedding import pixels_of
from similarity.engine.files import ImageFiles
from similarity.engine.results import Matches, Picture
from similarity.errors import UserError
from similarity.images.decoding import UnreadableImageError
from similarity.reporting.sheets import TILE_SIZE, Tile, draw_sheet, tile_of


def draw_matches(matches: Matches, images: ImageFiles) -> Image.Image:
    """Draw one row per query: its first image, then the images found for it.

    Args:
        matches: what was found.
        images: the files of the indexed images, by key.

    Raises:
        UserError: an image can no longer be read.
    """
    rows = []
    for result in matches.results:
        query, key = result.query, result.query.key
        pixels = _pixels(images / key if key else query.images[0], query.name)
        first = tile_of(pixels, key, "query", None) if key else Tile(pixels, ("query", Path(query.name).name), None)
        label = key.split("/")[0] if key else None
        found = ((_pixels(images / other, other), other, f"{cosine:.3f}") for other, cosine in result.neighbors)
        rows.append([first, *(tile_of(*each, label) for each in found)])
    return draw_sheet(rows)


def _pixels(source: "Path | Picture | bytes", name: str) -> np.ndarray:
    assert not isinstance(source, bytes)  # uploads are not drawn
    try:
        return pixels_of(source, TILE_SIZE)
    except (UserError, UnreadableImageError) as error:
        raise UserError(f"{name}: {error}") from error
