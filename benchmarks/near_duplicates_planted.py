"""How many planted copies the audit finds as near duplicates, and how many of the pairs with a copy are right.

    python benchmarks/near_duplicates_planted.py --output benchmarks/results/near_duplicates_planted.md FOLDERS

Each folder is a clone in which the pipeline has run, as `benchmarks/data_sets.py --work` leaves them. Copies of 3 % of
the images (at most 300) are nine tenths the size, 5 % brighter and compressed as JPEG of quality 85. Pairs of images
that were there before are not judged here: nobody has said which of them are copies.
"""

from pipeline.inputs import load_params

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from comparison import as_markdown, make_parser, publish, run_command
from similarity.data.dataset.duplicates import Pairs, near_duplicates
from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.extractor import load_extractor
from similarity.data.images.decoding import read_image
from similarity.data.images.pixels import resize, thumbnail
from similarity.detection import confirm
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST, THUMBNAILS

SHARE, MOST, BATCH_SIZE, SEED = 0.03, 300, 8, 0
SCALE, BRIGHTNESS, QUALITY = 0.9, 1.05, 85
COLUMNS = ("set", "copies", "precision by thumbnails", "recall", "precision, confirmed by features", "recall")


class Planted(NamedTuple):
    """Images and, after them, copies of some of these.

    Attributes:
        thumbnails: of all, uint8 (n + c, size, size, 3).
        features: of all, float32 (n + c, D).
        original: the row of the image that each row shows, int64 (n + c,).
        images: n.
    """

    thumbnails: np.ndarray
    features: np.ndarray
    original: np.ndarray
    images: int


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    table = as_markdown(COLUMNS, map(row, arguments.folders))
    publish(table, "Planted near duplicates that the audit finds", arguments.output)


def row(folder: Path) -> list[str]:
    planted = plant(folder)
    near = near_duplicates(planted.thumbnails, load_params(folder / "params.yaml").scan.min_correlation)
    confirmed = confirm(near, planted.features, SEED)
    figures = [f"{figure:.3f}" for pairs in (near, confirmed) for figure in judge(pairs, confirmed, planted)]
    return [folder.name, str(len(planted.original) - planted.images), *figures]


def plant(folder: Path) -> Planted:
    """Copy some images of a data set."""
    manifest, extractor = read_manifest(folder / MANIFEST), load_extractor(folder / BACKBONE, (BATCH_SIZE,))
    thumbnails, features = np.load(folder / THUMBNAILS), np.load(folder / FEATURES)
    images = len(features)
    chosen = np.sort(np.random.default_rng(SEED).choice(images, min(MOST, int(SHARE * images)), replace=False))
    copies = list(copies_of(folder / IMAGES / manifest.keys[row] for row in chosen))
    pixels = np.stack([resize(copy, extractor.image_size) for copy in copies])
    return Planted(
        np.concatenate([thumbnails, [thumbnail(copy, thumbnails.shape[1]) for copy in copies]]),
        np.concatenate([features, extractor(pixels)]),
        np.concatenate([np.arange(images), chosen]),
        images,
    )


def copies_of(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        image = Image.fromarray(read_image(path))
        smaller = image.resize([max(1, round(SCALE * side)) for side in image.size])
        content = io.BytesIO()
        ImageEnhance.Brightness(smaller).enhance(BRIGHTNESS).save(content, "JPEG", quality=QUALITY)
        yield read_image(content.getvalue())


def judge(pairs: Pairs, confirmed: Pairs, planted: Planted) -> tuple[float, float]:
    """Measure the precision of the pairs with a copy, and the share of the copies that are paired with their original.

    A copy of an image that has a near duplicate of its own, a confirmed one, may be paired with that as well.
    """
    first, second = planted.original[pairs.first], planted.original[pairs.second]
    with_copy = np.maximum(pairs.first, pairs.second) >= planted.images
    among_images = np.maximum(confirmed.first, confirmed.second) < planted.images
    known = set(zip(confirmed.first[among_images].tolist(), confirmed.second[among_images].tolist(), strict=True))
    ends = zip(np.minimum(first, second).tolist(), np.maximum(first, second).tolist(), strict=True)
    right = np.array([one == other or (one, other) in known for one, other in ends], bool)
    copies = len(planted.original) - planted.images
    return float(right[with_copy].mean()), float((with_copy & (first == second)).sum() / copies)


if __name__ == "__main__":
    run_command(main)
