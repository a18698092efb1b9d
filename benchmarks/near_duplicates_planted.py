"""How many planted copies the audit finds as near duplicates, and how many of the pairs with a copy are right.

    python benchmarks/near_duplicates_planted.py --output benchmarks/results/near_duplicates_planted.md FOLDERS

Each folder is a clone in which the pipeline has run, as `benchmarks/data_sets.py --work` leaves them. Copies of 3 % of
the images (at most 300) are nine tenths the size, 5 % brighter and compressed as JPEG of quality 85. Pairs of images
that were there before are not judged here: nobody has said which of them are copies.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from comparison import add_output, publish
from similarity.dataset.manifest import read_manifest
from similarity.duplication.detection import near_duplicates
from similarity.duplication.pairs import Pairs
from similarity.features.extractor import load_extractor
from similarity.findings.images import confirm
from similarity.images.decoding import read_image
from similarity.images.descriptors import thumbnail
from similarity.images.resizing import resize
from similarity.params import load_params

SHARE, MOST, BATCH_SIZE, SEED = 0.03, 300, 8, 0
SCALE, BRIGHTNESS, QUALITY = 0.9, 1.05, 85
HEADER = (
    "| set | copies | precision by thumbnails | recall | precision, confirmed by features | recall |\n"
    "|---|--:|--:|--:|--:|--:|"
)


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
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    add_output(parser)
    arguments = parser.parse_args()
    publish(
        "\n".join([HEADER, *map(row, arguments.folders)]),
        "Planted near duplicates that the audit finds",
        arguments.output,
    )


def row(folder: Path) -> str:
    planted = plant(folder)
    near = near_duplicates(planted.thumbnails, **dict(load_params(folder / "params.yaml").duplicates))
    confirmed = confirm(near, planted.features, SEED)
    figures = [f"{figure:.3f}" for pairs in (near, confirmed) for figure in judge(pairs, confirmed, planted)]
    return f"| {folder.name} | {len(planted.original) - planted.images} | {' | '.join(figures)} |"


def plant(folder: Path) -> Planted:
    manifest, extractor = (
        read_manifest(folder / "data/manifest.csv"),
        load_extractor(folder / "models/backbone", (BATCH_SIZE,)),
    )
    thumbnails, features = (np.load(folder / f"data/{name}.npy") for name in ("thumbnails", "features"))
    images = len(features)
    count = min(MOST, int(SHARE * images))
    chosen = np.sort(np.random.default_rng(SEED).choice(images, count, replace=False))
    copies = list(copies_of(folder / "data/images" / manifest.keys[row] for row in chosen))
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
    """Precision of the pairs with a copy, and the share of the copies that are paired with their original.

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
    main()
