"""Fitting the head to labeled features."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.embedding.head import Head, build_keras_head, embed
from similarity.params import Loss, TrainParams
from similarity.vectors import normalize, standardization

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_ROWS_PER_BLOCK = 8192


class Epoch(NamedTuple):
    """What one epoch of training gave: mean cross-entropy in nats, and accuracy as a share."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class Labeled(NamedTuple):
    """Features, float32 (n, D), and the class index of each row, int32 (n,)."""

    features: np.ndarray
    labels: np.ndarray


def train_head(
    train: Labeled, valid: Labeled, classes: int, size: int, params: TrainParams, seed: int
) -> Iterator[tuple[Epoch, Head]]:
    """Trains a head with SGD on softmax cross-entropy and yields it after every epoch.

    With `params.loss` ``normalized_softmax`` the logits are the embedding's cosines to one vector per class, × `scale`
    (Zhai & Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019): it is by cosine that
    embeddings are compared later. Dropout (Srivastava et al., JMLR 2014) is of the features.

    The learning rate of step t is lr / (1 + decay · t), as in the `decay` of Keras 2's optimizers. Weight decay is
    decoupled from the loss (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019). An epoch runs as
    one compiled function: `Model.fit` costs several times as much on batches as small as these.

    Args:
        train: what the weights are fitted to.
        valid: what `val_loss` and `val_accuracy` are measured on.
        classes: number of classes.
        size: length of the embedding.
        params: how to train.
        seed: of the initial weights and of the order of the batches.

    Yields:
        For each epoch, its figures and the head as it was at its end, for features as given (any standardization is
        folded into the weights).
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    mean, scale = standardization(train.features) if params.standardize else (np.float32(0), np.float32(1))
    model = build_keras_head(train.features.shape[1], size, classes)
    schedule = keras.optimizers.schedules.InverseTimeDecay(params.lr, decay_steps=1, decay_rate=params.decay)
    optimizer = keras.optimizers.SGD(
        schedule, params.momentum, nesterov=params.nesterov, weight_decay=params.weight_decay or None
    )
    optimizer.build(_trained(model, params))
    features = _standardized(train.features, mean, scale)
    run_epoch = _compile_epoch(model, optimizer, features, tf.constant(train.labels), params, seed)
    rng = np.random.default_rng(seed)
    for epoch in range(1, params.epochs + 1):
        loss, accuracy = run_epoch(tf.constant(rng.permutation(len(train.labels)).astype(np.int32)))
        head = _fold(_unit_classes(model.get_weights(), params), mean, scale)
        yield Epoch(epoch, float(loss), float(accuracy), *_measure(valid, head, params.loss)), head


def class_logits(embeddings: np.ndarray, head: Head, loss: Loss) -> np.ndarray:
    """Maps embeddings, float32 (n, E), to the logits of the classes, float32 (n, C); the highest is the class.

    `loss` is what the head was trained with: normalized or not, the weights look the same.
    """
    inputs = normalize(embeddings) if loss == "normalized_softmax" else embeddings
    return inputs @ head.class_kernel + head.class_bias


def _trained(model: "keras.Model", params: TrainParams) -> list:
    """The variables that the loss depends on: cosines have no bias."""
    return model.trainable_variables[: 4 if params.loss == "softmax" else 3]


def _compile_epoch(
    model: "keras.Model",
    optimizer: "keras.Optimizer",
    features: "tf.Variable",
    labels: "tf.Tensor",
    params: TrainParams,
    seed: int,
) -> Callable[..., tuple]:
    """Returns a function of the rows' order, int32 (n,), that takes one pass and returns its mean loss and accuracy."""
    import tensorflow as tf

    embedding, classifier = model.layers
    trained = _trained(model, params)
    rows, batch_size = len(labels), params.batch_size

    def inputs(batch):  # type: ignore[no-untyped-def]  # traced by TensorFlow, whose tensors are untyped
        taken = tf.gather(features, batch)
        if not params.dropout:
            return taken
        draw = tf.stack([tf.constant(seed, tf.int64), tf.cast(optimizer.iterations, tf.int64)])
        return tf.nn.experimental.stateless_dropout(taken, params.dropout, seed=draw)

    def class_scores(embeddings):  # type: ignore[no-untyped-def]  # as above
        if params.loss == "normalized_softmax":
            units, classes = tf.math.l2_normalize(embeddings, 1), tf.math.l2_normalize(classifier.kernel, 0)
            return params.scale * tf.matmul(units, classes)
        return tf.matmul(embeddings, classifier.kernel) + classifier.bias

    def step(batch):  # type: ignore[no-untyped-def]  # as above
        truth = tf.gather(labels, batch)
        with tf.GradientTape() as tape:
            logits = class_scores(embedding(inputs(batch)))
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, trained)
        optimizer.apply(gradients, trained)
        hits = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), truth)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.float32))

    @tf.function
    def run_epoch(order):  # type: ignore[no-untyped-def]  # as above
        total, hits = tf.constant(0.0), tf.constant(0.0)
        whole = rows // batch_size * batch_size
        for start in tf.range(0, whole, batch_size):
            loss, hit = step(order[start : start + batch_size])
            total, hits = total + loss, hits + hit
        if rows > whole:
            loss, hit = step(order[whole:])
            total, hits = total + loss, hits + hit
        return total / rows, hits / rows

    return run_epoch


def _unit_classes(weights: list[np.ndarray], params: TrainParams) -> list[np.ndarray]:
    """The weights with the classes' vectors at length `scale` if they are compared by cosine."""
    if params.loss == "softmax":
        return weights
    kernel, bias, class_kernel, class_bias = weights
    return [kernel, bias, params.scale * normalize(class_kernel.T).T, class_bias]


def _measure(held_out: Labeled, head: Head, loss: Loss) -> tuple[float, float]:
    """Cross-entropy (nats) and accuracy of a head."""
    from scipy.special import logsumexp

    logits = class_logits(embed(held_out.features, head), head, loss).astype(np.float64)
    losses = logsumexp(logits, axis=1) - logits[np.arange(len(logits)), held_out.labels]
    return float(losses.mean()), float((logits.argmax(axis=1) == held_out.labels).mean())


def _standardized(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> "tf.Variable":
    """Copies features, float32 (n, D), to TensorFlow, standardized; block by block: a constant is held twice."""
    import tensorflow as tf

    copy = tf.Variable(tf.zeros(features.shape), trainable=False)
    for start in range(0, len(features), _ROWS_PER_BLOCK):
        block = features[start : start + _ROWS_PER_BLOCK]
        copy[start : start + len(block)].assign((block - mean) / scale)
    return copy


def _fold(weights: list[np.ndarray], mean: np.ndarray, scale: np.ndarray) -> Head:
    """Finds K' and b' such that x · K' + b' = ((x − mean) / scale) · K + b."""
    kernel, bias, class_kernel, class_bias = weights
    folded = kernel / np.reshape(scale, (-1, 1)).astype(np.float64)
    shift = np.broadcast_to(mean, len(kernel)).astype(np.float64) @ folded
    return Head(folded.astype(np.float32), (bias - shift).astype(np.float32), class_kernel, class_bias)
