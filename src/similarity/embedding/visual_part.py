"""The visual part of the embedding: what distinguishes images of one class, learned without labels."""

from typing import NamedTuple

import numpy as np

from similarity.data.vectors import multiply_rows, row_blocks, standardization

SHRINKAGE = 0.3  # of the variances, by which components are divided
_MIN_VARIANCE = 1e-6  # of a component, relative to the first one; less is rounding
_MAX_ROWS = 50_000  # images that the components are computed from; of more, a sample


class VisualPart(NamedTuple):
    """Maps features, float32 (n, D), to K visual components; with K = 0 there is no visual part.

    Attributes:
        kernel: float32 (D, K), zeros in the rows of features that are not used.
        bias: float32 (K,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map features, float32 (n, D), to components with mean 0 over the images fitted to: float32 (n, K)."""
        return multiply_rows(features, self.kernel) + self.bias


def fit_visual_part(
    features: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    size: int,
    seed: int,
    shrinkage: float = SHRINKAGE,
) -> VisualPart:
    """Find the leading principal components of standardized features, and make them about equally large (whitening).

    The features of a pretrained network are dominated by a few directions, such as brightness and the kind of object.
    Whitening gives the finer ones, by which one image differs from others of its kind, the same weight (Jégou & Chum,
    "Negative evidences and co-occurences in image retrieval: the benefit of PCA and whitening", ECCV 2012). A component
    of variance v is divided by √(v + s · m), with the mean variance m and the shrinkage s. With s = 0 and no more
    images than components, each image would be as far from all the others.

    Args:
        features: float32 (n, D); may be mapped from a file.
        rows: the images to fit to, int64 (m,); of more than 50,000, a sample, which bounds the memory.
        columns: which of the features are used, int64 (d,), ascending.
        size: how many components; there are fewer where the images span fewer.
        seed: of the sample.
        shrinkage: s.
    """
    from sklearn.decomposition import PCA

    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:_MAX_ROWS])
    taken = np.concatenate([block[:, columns] for block in row_blocks(features, sample)])
    count = min(size, len(taken) - 1, len(columns))
    if count < 1:
        return VisualPart(np.zeros((features.shape[1], 0), np.float32), np.zeros(0, np.float32))
    mean, scale = standardization(taken)
    taken -= mean
    taken /= scale
    is_wide = len(taken) < taken.shape[1]
    analysis = PCA(count, svd_solver="full" if is_wide else "covariance_eigh").fit(taken)
    variances = analysis.explained_variance_.astype(np.float64)
    kept = variances > _MIN_VARIANCE * variances[0]
    mean_variance = np.square(taken).sum() / (len(taken) - 1) / min(len(taken) - 1, len(columns))
    lengths = np.sqrt(variances[kept] + shrinkage * mean_variance)
    folded = analysis.components_[kept].T / lengths / scale[:, None].astype(np.float64)
    kernel = np.zeros((features.shape[1], folded.shape[1]), np.float32)
    kernel[columns] = folded
    return VisualPart(kernel, (-mean @ folded).astype(np.float32))
