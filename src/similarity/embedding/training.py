"""Fitting the head to labeled features, by stochastic gradient descent in NumPy.

The head is two small matrices, and a step on a batch of a hundred rows takes half a millisecond: less than what a deep
learning framework takes to look after it, not to speak of its start.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from similarity.embedding.head import Head, embed, glorot_head
from similarity.files import release_pages
from similarity.params import Loss, TrainParams
from similarity.vectors import normalize, row_blocks, standardization

_ROWS_PER_RELEASE = 16_384
_LEVELS = 2**16  # of the random numbers that dropout compares


class Epoch(NamedTuple):
    """What one epoch of training gave: mean cross-entropy in nats, and accuracy as a share."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class Labeled(NamedTuple):
    """Some rows of features, and what they are labeled with.

    Attributes:
        features: of all images, float32 (N, D); may be mapped from a file, and is read by batch.
        rows: which of them, int64 (n,).
        labels: the class index of each of these rows, int32 (n,).
    """

    features: np.ndarray
    rows: np.ndarray
    labels: np.ndarray


def train_head(
    train: Labeled, valid: Labeled, classes: int, size: int, params: TrainParams, seed: int
) -> Iterator[tuple[Epoch, Head]]:
    """Trains a head with SGD on softmax cross-entropy and yields it after every epoch.

    With `params.loss` ``normalized_softmax`` the logits are the embedding's cosines to one vector per class, × `scale`
    (Zhai & Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019): it is by cosine that
    embeddings are compared later. Dropout (Srivastava et al., JMLR 2014) is of the features.

    The learning rate of step t is lr / (1 + decay · t), as in the `decay` of Keras 2's optimizers; momentum and its
    form by Nesterov are those of Keras' SGD. Weight decay is decoupled from the loss (Loshchilov & Hutter, "Decoupled
    Weight Decay Regularization", ICLR 2019).

    Args:
        train: what the weights are fitted to.
        valid: what `val_loss` and `val_accuracy` are measured on.
        classes: number of classes.
        size: length of the embedding.
        params: how to train.
        seed: of the initial weights, of the order of the batches, and of dropout.
    """
    rng = np.random.default_rng(seed)
    head = glorot_head(train.features.shape[1], size, classes, rng)
    mean, scale = standardization(train.features, train.rows) if params.standardize else (np.float32(0), np.float32(1))
    optimizer, read = _Sgd(head, params), 0
    for epoch in range(1, params.epochs + 1):
        order = rng.permutation(len(train.rows))
        loss, hits = 0.0, 0
        for start in range(0, len(order), params.batch_size):
            batch = order[start : start + params.batch_size]
            inputs = (train.features[train.rows[batch]] - mean) / scale
            _drop(inputs, params.dropout, rng)
            losses, hit, gradients = _differentiate(inputs, train.labels[batch], head, params)
            optimizer.apply(gradients)
            loss, hits = loss + losses, hits + hit
            read += len(batch)
            if read >= _ROWS_PER_RELEASE:
                release_pages(train.features)
                read = 0
        folded = _fold(_unit_classes(head, params), mean, scale)
        yield Epoch(epoch, loss / len(order), hits / len(order), *_measure(valid, folded, params.loss)), folded


def class_logits(embeddings: np.ndarray, head: Head, loss: Loss) -> np.ndarray:
    """Maps embeddings, float32 (n, E), to the logits of the classes, float32 (n, C); the highest is the class.

    `loss` is what the head was trained with: normalized or not, the weights look the same.
    """
    inputs = normalize(embeddings) if loss == "normalized_softmax" else embeddings
    return inputs @ head.class_kernel + head.class_bias


class _Sgd:
    """Changes the weights of a head in place, as the `SGD` of Keras does."""

    def __init__(self, head: Head, params: TrainParams) -> None:
        self._weights = head[: 4 if params.loss == "softmax" else 3]  # cosines have no bias
        self._velocities = [np.zeros_like(weights) for weights in self._weights]
        self._params, self._steps = params, 0

    def apply(self, gradients: tuple[np.ndarray, ...]) -> None:
        """Takes one step, by the gradients of all weights in the order of the head."""
        params = self._params
        lr = np.float32(params.lr / (1 + 1e-6 * self._steps))
        momentum, self._steps = np.float32(params.momentum), self._steps + 1
        for weights, velocity, gradient in zip(self._weights, self._velocities, gradients, strict=False):
            weights *= 1 - lr * np.float32(params.weight_decay)
            step = lr * gradient
            velocity *= momentum
            velocity -= step
            weights += momentum * velocity - step


def _drop(inputs: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """Puts a random share of some inputs, float32 (n, D), to zero, and enlarges the others as much, in place."""
    if not share:
        return
    words = rng.bit_generator.random_raw(-(-inputs.size // 4))  # four numbers of 16 bits in each
    kept = words.view(np.uint16)[: inputs.size].reshape(inputs.shape) >= round(share * _LEVELS)
    inputs *= np.float32(1 / (1 - share))
    np.multiply(inputs, kept, out=inputs)


def _differentiate(
    inputs: np.ndarray, labels: np.ndarray, head: Head, params: TrainParams
) -> tuple[float, int, tuple[np.ndarray, ...]]:
    """The losses of a batch, summed up, how often it was right, and the gradients of the mean loss, as in the head.

    Args:
        inputs: float32 (n, D).
        labels: int32 (n,).
        head: the weights.
        params: `loss` and `scale` count.
    """
    embeddings = np.maximum(inputs @ head.kernel + head.bias, 0)
    logits, backwards = (_cosines if params.loss == "normalized_softmax" else _products)(embeddings, head, params.scale)
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0]) - shifted[rows, labels]
    errors = exponentials / sums
    errors[rows, labels] -= 1
    errors /= np.float32(len(labels))
    to_embeddings, to_classes, to_bias = backwards(errors)
    to_embeddings[embeddings == 0] = 0  # of ReLU
    hits = int((logits.argmax(axis=1) == labels).sum())
    gradients = inputs.T @ to_embeddings, to_embeddings.sum(axis=0), to_classes, to_bias
    return float(losses.sum(dtype=np.float64)), hits, gradients


_Backwards = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Maps the gradient of the logits to those of the embeddings, of the classes' kernel and of their bias."""


def _products(embeddings: np.ndarray, head: Head, _: float) -> tuple[np.ndarray, _Backwards]:
    """The logits of ``softmax``, float32 (n, C), and what takes their gradient back."""

    def backwards(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return errors @ head.class_kernel.T, embeddings.T @ errors, errors.sum(axis=0)

    return embeddings @ head.class_kernel + head.class_bias, backwards


def _cosines(embeddings: np.ndarray, head: Head, scale: float) -> tuple[np.ndarray, _Backwards]:
    """The logits of ``normalized_softmax``, float32 (n, C), and what takes their gradient back."""
    units, lengths = _units(embeddings)
    classes, class_lengths = _units(head.class_kernel.T)

    def backwards(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scaled = np.float32(scale) * errors
        to_embeddings = _across(scaled @ classes, units) / lengths
        to_classes = _across(scaled.T @ units, classes) / class_lengths
        return to_embeddings, to_classes.T, np.zeros_like(head.class_bias)

    return np.float32(scale) * (units @ classes.T), backwards


def _units(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows at length 1, float32 (n, d), and their lengths, (n, 1); a row of zeros stays, at length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return vectors / lengths, lengths


def _across(gradients: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The part of each gradient that turns its unit vector, and does not lengthen it; float32 (n, d) each."""
    return gradients - (gradients * units).sum(axis=1, keepdims=True) * units


def _unit_classes(head: Head, params: TrainParams) -> Head:
    """The head with the classes' vectors at length `scale` if they are compared by cosine."""
    if params.loss == "softmax":
        return head
    return head._replace(class_kernel=np.float32(params.scale) * normalize(head.class_kernel.T).T)


def _measure(held_out: Labeled, head: Head, loss: Loss) -> tuple[float, float]:
    """Cross-entropy (nats) and accuracy of a head."""
    from scipy.special import logsumexp

    total, hits, start = 0.0, 0, 0
    for features in row_blocks(held_out.features, held_out.rows):
        labels = held_out.labels[start : start + len(features)]
        logits = class_logits(embed(features, head), head, loss).astype(np.float64)
        total += float((logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]).sum())
        hits, start = hits + int((logits.argmax(axis=1) == labels).sum()), start + len(features)
    return total / len(held_out.rows), hits / len(held_out.rows)


def _fold(head: Head, mean: np.ndarray, scale: np.ndarray) -> Head:
    """Finds K' and b' such that x · K' + b' = ((x − mean) / scale) · K + b."""
    folded = head.kernel / np.reshape(scale, (-1, 1)).astype(np.float64)
    shift = np.broadcast_to(mean, len(head.kernel)).astype(np.float64) @ folded
    bias = (head.bias - shift).astype(np.float32)
    return Head(folded.astype(np.float32), bias, head.class_kernel.copy(), head.class_bias.copy())
