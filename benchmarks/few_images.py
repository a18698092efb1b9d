"""How often the look finds the same class in small sets: why the visual part's variances are shrunken.

    python benchmarks/few_images.py --output benchmarks/results/few_images.md FOLDERS

Each folder is a clone in which the pipeline has run, as `benchmarks/data_sets.py --work` leaves them. The visual part
is fitted to some training images, without labels; the table has the share of an image's five nearest others among these
that are of its class, beside that of the bare features, standardized. Means of four draws.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from comparison import add_output, publish
from similarity.dataset.manifest import read_manifest, read_splits
from similarity.embedding.visual_part import fit_visual_part
from similarity.features.extractor import tapped_columns
from similarity.params import load_params
from similarity.vectors import normalize, standardization

COUNTS, SHRINKAGES, SEEDS, NEAREST = (30, 120, 480), (0.0, 0.1, 0.3, 1.0), 4, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    add_output(parser)
    arguments = parser.parse_args()
    columns = ["set", "images", *(f"shrinkage {value:g}" for value in SHRINKAGES), "bare features"]
    header = f"| {' | '.join(columns)} |\n|---|{'--:|' * (len(columns) - 1)}"
    lines = [line for folder in arguments.folders for line in rows(folder)]
    publish("\n".join([header, *lines]), "The look in small sets", arguments.output)


def rows(folder: Path) -> Iterator[str]:
    manifest, settings = read_manifest(folder / "data/manifest.csv"), load_params(folder / "params.yaml").embedding
    train = read_splits(folder / "data/splits.csv", manifest)["train"]
    columns = tapped_columns(folder / "models/backbone", settings.visual_taps)
    features = np.load(folder / "data/features.npy", mmap_mode="r")
    for count in COUNTS:
        figures = np.mean(
            [list(trial(features, manifest.labels, train, columns, count, seed)) for seed in range(SEEDS)], 0
        )
        yield f"| {folder.name} | {count} | {' | '.join(f'{figure:.3f}' for figure in figures)} |"


def trial(
    features: np.ndarray, labels: np.ndarray, train: np.ndarray, columns: np.ndarray, count: int, seed: int
) -> Iterator[float]:
    """The agreement for each shrinkage, then that of the bare features."""
    chosen = np.sort(np.random.default_rng(seed).choice(train, count, replace=False))
    taken, everything = features[chosen], np.arange(count)
    for shrinkage in SHRINKAGES:
        part = fit_visual_part(taken, everything, columns, 256, seed, shrinkage)
        yield agreement(part(taken), labels[chosen])
    mean, scale = standardization(taken[:, columns])
    yield agreement((taken[:, columns] - mean) / scale, labels[chosen])


def agreement(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The share of the nearest others by cosine that have the same label, of vectors, float32 (n, d)."""
    units = normalize(vectors)
    cosines = (units @ units.T).round(6)  # equal ones come in the order of the images
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
    return float((labels[nearest] == labels[:, None]).mean())


if __name__ == "__main__":
    main()
