"""What is probably wrong with a labeled data set: images that are there twice, wrong labels, outliers, odd files."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from similarity.embedding.head import embed
from similarity.embedding.training import Labeled, class_logits, train_head
from similarity.params import TrainParams
from similarity.vectors import normalize, rank

_COMPONENTS = 32  # of the PCA in which neighbors are searched
_NEIGHBORS = 10
_ROWS_PER_BLOCK = 512
_FENCE = 2  # interquartile ranges above the upper quartile
_SAMPLE = 20_000  # images
_TIMES = 4  # from which factor on sizes are odd
_MAJORITY = 0.5
# How labels are judged is not what experiments are about: the same whatever `train` is told.
_EMBEDDING_SIZE = 32
_TRAINING = TrainParams(
    lr=0.01, epochs=20, batch_size=100, momentum=0.9, nesterov=True, decay=1e-6, weight_decay=0.01,
    loss="normalized_softmax", scale=8, dropout=0.3, standardize=True,
)  # fmt: skip


class Doubts(NamedTuple):
    """What speaks against the labels of n images.

    Attributes:
        confidence: probability of the given label by classifiers that did not learn from the image, float (n,).
        suggested: the class index that they find most likely, int (n,).
        agreement: share of the given label among the nearest images, float (n,).
        by_classifier: whether confident learning takes the label for wrong, bool (n,).
        by_neighbors: whether most of the nearest images have other labels, bool (n,).
    """

    confidence: np.ndarray
    suggested: np.ndarray
    agreement: np.ndarray
    by_classifier: np.ndarray
    by_neighbors: np.ndarray


def draw_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Gives each row a fold, int64 (n,), 0…folds − 1: each class spread evenly, each group in one of them.

    Args:
        labels: class indices, int (n,).
        groups: of which the rows must not be parted, int (n,).
        folds: how many.
        seed: of the draw.
    """
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(first))
    drawn = drawn[np.argsort(labels[first[drawn]], kind="stable")]
    fold_of_group = np.empty(len(first), np.int64)
    fold_of_group[drawn] = np.arange(len(first)) % folds
    return fold_of_group[number]


def doubt_labels(
    features: np.ndarray,
    labels: np.ndarray,
    fold_of: np.ndarray,
    epochs: int,
    seed: int,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Doubts:
    """Judges each label by what was learned from the other folds.

    A head is trained for each fold on the others. Its probabilities go into confident learning (Northcutt, Jiang &
    Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021), as cleanlab has it; its
    embeddings give the ten nearest images of the other folds.

    Args:
        features: float32 (n, D).
        labels: class indices, int32 (n,); each class has at least one row.
        fold_of: what `draw_folds` gives.
        epochs: of the training.
        seed: of the training.
        progress: wraps the iteration over the folds.
    """
    from cleanlab.filter import find_label_issues
    from scipy.special import softmax

    classes, training = int(labels.max()) + 1, _TRAINING.model_copy(update={"epochs": epochs})
    probabilities, agreement = np.empty((len(labels), classes)), np.empty(len(labels))
    for fold in progress(range(int(fold_of.max()) + 1)):
        held_out, others = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        learned, unseen = (Labeled(features[rows], labels[rows]) for rows in (others, held_out))
        *_, (_, head) = train_head(learned, unseen, classes, _EMBEDDING_SIZE, training, seed)
        embeddings = embed(unseen.features, head)
        probabilities[held_out] = softmax(class_logits(embeddings, head, training.loss).astype(np.float64), axis=1)
        agreement[held_out] = _agreement(embeddings, unseen.labels, embed(learned.features, head), learned.labels)
    return Doubts(
        probabilities[np.arange(len(labels)), labels],
        probabilities.argmax(axis=1),
        agreement,
        find_label_issues(labels, probabilities, n_jobs=1),
        agreement < _MAJORITY,
    )


def distances(features: np.ndarray, seed: int) -> np.ndarray:
    """How far each image is from its ten nearest, mean Euclidean distance of the principal components, float64 (n,).

    The features are those of the pretrained network, each standardized: what is learned from the labels draws also a
    foreign image to the class that it was put in. Of many images, the nearest are looked for among a sample.

    Args:
        features: float32 (n, D).
        seed: of the sample.
    """
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    places = _principal(StandardScaler().fit_transform(features))
    sample = np.sort(np.random.default_rng(seed).permutation(len(places))[:_SAMPLE])
    count = min(_NEIGHBORS, len(sample) - 1)
    found = NearestNeighbors(n_neighbors=count + 1).fit(places[sample]).kneighbors(places)[0]
    itself = np.isin(np.arange(len(places)), sample)
    return np.where(itself, found[:, 1:].mean(axis=1), found[:, :-1].mean(axis=1))


def far_out(values: np.ndarray) -> np.ndarray:
    """Tells which positive values are outliers on a logarithmic scale, bool (n,): above Q3 + 2 · (Q3 − Q1).

    The fences of Tukey, "Exploratory Data Analysis", 1977, are at 1.5 (outside) and 3 (far out).
    """
    logs = np.log(np.maximum(values, np.finfo(np.float32).eps))
    low, high = np.quantile(logs, (0.25, 0.75))
    return logs > high + _FENCE * (high - low)


def oddity(width: int, height: int, usual_side: float, usual_ratio: float) -> str:
    """Says what is odd about an image's size, "" if nothing.

    Args:
        width: in pixels.
        height: in pixels.
        usual_side: geometric mean of height and width that is usual in the data set, in pixels.
        usual_ratio: of width to height that is usual.
    """
    ratio, side = width / height / usual_ratio, (width * height) ** 0.5 / usual_side
    remarks = [
        f"{width} × {height} pixels, much smaller than most" * (side < 1 / _TIMES),
        f"{width} × {height} pixels, of another shape than most" * (not 1 / _TIMES <= ratio <= _TIMES),
    ]
    return "; ".join(filter(None, remarks))


def _principal(vectors: np.ndarray) -> np.ndarray:
    """The principal components of (n, d), float32 (n, up to 32)."""
    from sklearn.decomposition import PCA

    components = min(_COMPONENTS, *vectors.shape)
    return PCA(components, svd_solver="covariance_eigh").fit_transform(vectors).astype(np.float32)


def _agreement(embeddings: np.ndarray, labels: np.ndarray, gallery: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The share of each row's label among its nearest in a gallery, float64 (n,)."""
    units, candidates, count = normalize(embeddings), normalize(gallery).T, min(_NEIGHBORS, len(gallery))
    blocks = [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, len(labels), _ROWS_PER_BLOCK)]
    found = np.concatenate([known[rank(units[rows] @ candidates, count)] for rows in blocks])
    return (found == labels[:, None]).mean(axis=1)
