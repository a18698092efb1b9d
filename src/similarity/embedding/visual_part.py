"""The visual part of the embedding: what tells images of one class apart, learned without labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.files import write_arrays
from similarity.principal_axes import axes_of_rows
from similarity.vectors import multiply_rows, row_blocks, standardization

SHRINKAGE = 0.3  # of the variances, by which components are divided
_MIN_VARIANCE = 1e-6  # of a component, relative to the first one; less is rounding
_MAX_ROWS = 50_000  # that the components are computed from


class VisualPart(NamedTuple):
    """What maps features, float32 (n, D), to K visual components; K = 0 means that there is no visual part.

    Attributes:
        kernel: float32 (D, K), zeros in the rows of features that are not used.
        bias: float32 (K,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The components of features, float32 (n, D), with mean 0 over the images fitted to: float32 (n, K)."""
        return multiply_rows(features, self.kernel) + self.bias


def fit_visual_part(
    features: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    size: int,
    seed: int,
    shrinkage: float = SHRINKAGE,
) -> VisualPart:
    """Finds the leading principal components of standardized features, and makes them about equally large (whitening).

    The features of a pretrained network are dominated by a few directions, such as brightness and the kind of object.
    Whitening gives the finer ones, by which one image differs from others of its kind, the same weight (Jégou & Chum,
    "Negative evidences and co-occurences in image retrieval: the benefit of PCA and whitening", ECCV 2012). A component
    of variance v is divided by √(v + s · m), with the mean variance m and the shrinkage s. With s = 0 and no more
    images than components, each image would be as far from all the others.

    Args:
        features: float32 (n, D).
        rows: of the images to fit to, int64 (m,); of many, a sample is taken.
        columns: which of the features are used, int64 (d,), ascending.
        size: how many components; there are fewer where the images span fewer.
        seed: of the sample.
        shrinkage: s.
    """
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:_MAX_ROWS])
    taken = np.concatenate([block[:, columns] for block in row_blocks(features, sample)])
    mean, scale = standardization(taken)
    taken = (taken - mean) / scale
    squares, axes = axes_of_rows(taken, min(size, *taken.shape))
    kept = squares > _MIN_VARIANCE * squares[:1]
    variances, axes = squares[kept] / len(taken), axes[:, kept]
    mean_variance = np.square(taken).sum() / len(taken) / max(1, min(len(taken) - 1, len(columns)))
    folded = axes / np.sqrt(variances + shrinkage * mean_variance) / scale[:, None].astype(np.float64)
    kernel = np.zeros((features.shape[1], folded.shape[1]), np.float32)
    kernel[columns] = folded
    return VisualPart(kernel, (-mean @ folded).astype(np.float32))


def save_visual_part(part: VisualPart, path: Path) -> None:
    """Writes a ``.npz`` file."""
    write_arrays(path, part._asdict())


def load_visual_part(path: Path) -> VisualPart:
    """Reads what `save_visual_part` wrote."""
    with np.load(path) as arrays:
        return VisualPart(arrays["kernel"], arrays["bias"])
