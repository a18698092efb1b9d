"""Images whose size or shape is unlike that of most."""

from collections.abc import Sequence

import numpy as np

from similarity.dataset.manifest import ImageRecord

_TIMES = 4  # from which factor on a size or a shape is odd


def odd_sizes(records: Sequence[ImageRecord]) -> list[str]:
    """Says what is odd about the size of each image, "" if nothing."""
    usual_side = float(np.median([(record.width * record.height) ** 0.5 for record in records]))
    usual_ratio = float(np.median([record.width / record.height for record in records]))
    return [_describe_size(record.width, record.height, usual_side, usual_ratio) for record in records]


def _describe_size(width: int, height: int, usual_side: float, usual_ratio: float) -> str:
    ratio, side = width / height / usual_ratio, (width * height) ** 0.5 / usual_side
    remarks = [
        f"{width} × {height} pixels, much smaller than most" * (side < 1 / _TIMES),
        f"{width} × {height} pixels, of another shape than most" * (not 1 / _TIMES <= ratio <= _TIMES),
    ]
    return "; ".join(filter(None, remarks))
