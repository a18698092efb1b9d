"""The map of all images in pictures: one of them in each place where there are any."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image


class Placed(NamedTuple):
    """An image of a collage: its row, and the column and line of its cell, from the top left."""

    row: int
    column: int
    line: int


def place_images(positions: np.ndarray, cells: int) -> list[Placed]:
    """Chooses the image that is nearest to the center of each cell of a grid over the unit square.

    Args:
        positions: of all images, y upwards, float32 (n, 2).
        cells: columns of the grid, and lines.

    Returns:
        The chosen ones by line and column, the first of equally near images; cells without an image are left out.
    """
    scaled = np.column_stack([positions[:, 0], 1 - positions[:, 1]]).astype(np.float64) * cells
    column, line = np.clip(np.floor(scaled).astype(np.int64), 0, cells - 1).T
    distance = np.square(scaled - np.column_stack([column, line]) - 0.5).sum(axis=1)
    number = line * cells + column
    order = np.lexsort((np.arange(len(number)), distance, number))
    nearest = order[np.unique(number[order], return_index=True)[1]]
    return [
        Placed(*each) for each in zip(nearest.tolist(), column[nearest].tolist(), line[nearest].tolist(), strict=True)
    ]


def draw_collage(placed: list[Placed], cells: int, tile: int, picture_of: Callable[[int], np.ndarray]) -> np.ndarray:
    """Draws the images of a collage, the largest square in the middle of each.

    Args:
        placed: what `place_images` chose.
        cells: columns of the grid, and lines.
        tile: side of a cell, in pixels.
        picture_of: gives the pixels of an image by its row, RGB, uint8 (height, width, 3).

    Returns:
        uint8 (cells × tile, cells × tile, 3), white where there is no image.
    """
    collage = np.full((cells * tile, cells * tile, 3), 255, np.uint8)
    for row, column, line in placed:
        image = Image.fromarray(np.ascontiguousarray(picture_of(row)))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.resize((tile, tile), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        collage[line * tile : (line + 1) * tile, column * tile : (column + 1) * tile] = np.asarray(square)
    return collage
