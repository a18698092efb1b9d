"""The network that is trained: a Keras model on top of frozen features, its optimizer, and how it is fitted.

Importing this module imports TensorFlow (seconds). To apply a trained network, `similarity.embedding.model` is enough.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from similarity.data.files import release_pages
from similarity.data.quiet import prepare_tensorflow
from similarity.data.vectors import normalize, standardization
from similarity.embedding.model import Head
from similarity.errors import UserError
from similarity.params import TrainParams

prepare_tensorflow()  # quietly, and with deterministic operations

import keras  # noqa: E402
from keras import layers, ops  # noqa: E402

DECAY = 1e-6  # of the learning rate per step, as in the original
_STEPS_PER_EXECUTION = 16  # without going back to Python; changes no result
_VALIDATION_BATCH = 1024  # images
_ROWS_PER_RELEASE = 65_536  # read before the memory of a mapped file is given back; more often costs page faults


class Labeled(NamedTuple):
    """Some rows of features, which may be mapped from a file, and their labels."""

    features: np.ndarray  # of all images, float32 (N, D)
    rows: np.ndarray  # which of them, int64 (n,)
    labels: np.ndarray  # the class index of each of these rows, int32 (n,)


def train_network(
    train: Labeled,
    valid: Labeled,
    classes: int,
    size: int,
    params: TrainParams,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[Head, dict[str, list[float]]]:
    """Fit a new network to the training images, and keep the epoch with the lowest validation loss.

    Args:
        train: what the weights are fitted to.
        valid: what `val_loss` and `val_accuracy` are measured on.
        classes: C.
        size: length of the embedding, E.
        params: how to train.
        seed: of the initial weights, of the order of the batches, and of dropout.
        callbacks: to be called after the own ones.

    Returns:
        The weights, and `loss`, `accuracy`, `val_loss` (nats) and `val_accuracy` of each epoch.

    Raises:
        UserError: a loss is not finite any more.
    """

    def stop_if_diverged(epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            raise UserError(f"training diverged in epoch {epoch + 1}: lower train.lr in params.yaml, now {params.lr:g}")

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    standard = standardization(train.features, train.rows) if params.standardize else None
    network = build_network(train.features.shape[1], size, classes, params, standard)
    batches = Batches(train, params.batch_size, np.random.default_rng(seed))
    compile_network(network, params, params.epochs * len(batches))
    patience = params.patience or params.epochs
    best = keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min", restore_best_weights=True)
    history = network.fit(
        batches,
        validation_data=Batches(valid, _VALIDATION_BATCH),
        epochs=params.epochs,
        shuffle=False,  # `Batches` draws the order
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=stop_if_diverged), best, *callbacks],
        verbose=0,
    )
    return head_of(network), history.history


def build_network(
    features: int, size: int, classes: int, params: TrainParams, standard: tuple[np.ndarray, np.ndarray] | None = None
) -> keras.Model:
    """Build the network: features, (n, D), to an embedding, (n, E), to the probabilities of the classes, (n, C).

    With the loss ``softmax`` and neither standardization nor dropout, these are the layers of the original.

    `standard` are mean and scale of each feature, float32 (D,), that bring it to mean 0 and standard deviation 1.
    """
    network = keras.Sequential([keras.Input((features,))])
    if standard:
        mean, scale = standard
        network.add(layers.Normalization(mean=mean, variance=np.square(scale), name="standardization"))
    if params.dropout:
        network.add(layers.Dropout(params.dropout, name="dropout"))
    network.add(layers.Dense(size, "relu", name="embedding"))
    if params.loss == "softmax":
        network.add(layers.Dense(classes, "softmax", name="classes"))
    else:
        network.add(NormalizedSoftmax(classes, params.scale, name="classes"))
    return network


class NormalizedSoftmax(layers.Layer):
    """Softmax of the cosines to one vector per class, × `scale`: it is by cosine that embeddings are compared later.

    Zhai & Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019.
    """

    def __init__(self, classes: int, scale: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.classes, self.scale = classes, scale

    def build(self, shape: Sequence[int | None]) -> None:
        """Create the vectors of the classes, the columns of a matrix (E, C)."""
        self.kernel = self.add_weight((shape[-1], self.classes), "glorot_uniform", name="kernel")

    def call(self, embeddings: Any) -> Any:
        """Map embeddings, (n, E), to probabilities, (n, C)."""
        cosines = ops.matmul(ops.normalize(embeddings, axis=1), ops.normalize(self.kernel, axis=0))
        return keras.activations.softmax(self.scale * cosines)


def compile_network(network: keras.Model, params: TrainParams, steps: int) -> None:
    """Give a network its loss and its optimizer; the schedule `cosine` ends at 0 after `steps` steps.

    The schedule `constant` has the decay of the original: the learning rate of step t is lr / (1 + 10⁻⁶ · t).
    """
    if params.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(params.lr, steps)
    else:
        rate = keras.optimizers.schedules.InverseTimeDecay(params.lr, decay_steps=1, decay_rate=DECAY)
    settings = {"momentum": params.momentum, "nesterov": True} if params.optimizer == "sgd" else {}
    optimizers = {name.lower(): optimizer for name, optimizer in vars(keras.optimizers).items()}
    network.compile(
        optimizers[params.optimizer](rate, weight_decay=params.weight_decay or None, **settings),
        loss="sparse_categorical_crossentropy",  # the categorical one, for labels that are not one-hot encoded
        metrics=["accuracy"],
        steps_per_execution=_STEPS_PER_EXECUTION,
    )


class Batches(keras.utils.PyDataset):
    """Batches of features and labels that are read when they are needed: not all features must fit in memory."""

    def __init__(self, labeled: Labeled, size: int, rng: np.random.Generator | None = None) -> None:
        """Take what to read, the number of rows per batch, and what draws a new order for each epoch, if any."""
        super().__init__()
        self._labeled, self._size, self._rng = labeled, size, rng
        self._order, self._read = np.arange(len(labeled.rows)), 0
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * self._size : (index + 1) * self._size]
        self._read += len(chosen)
        if self._read >= _ROWS_PER_RELEASE:
            release_pages(self._labeled.features)
            self._read = 0
        return self._labeled.features[self._labeled.rows[chosen]], self._labeled.labels[chosen]

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        if self._rng:
            self._order = self._rng.permutation(len(self._order))


def head_of(network: keras.Model) -> Head:
    """Take the weights from a network, changed such that they apply to features without its other layers.

    The standardization is folded into the embedding: x · K' + b' = ((x − mean) / scale) · K + b. The class vectors of
    `NormalizedSoftmax` get the length `scale`: their products with an embedding of length 1 are the logits.
    """
    by_name = {layer.name: layer for layer in network.layers}
    kernel, bias = by_name["embedding"].get_weights()
    if standard := by_name.get("standardization"):
        mean, variance = (
            ops.convert_to_numpy(array)[0].astype(np.float64) for array in (standard.mean, standard.variance)
        )
        kernel = kernel / np.sqrt(variance)[:, None]
        bias = bias - mean @ kernel
    class_kernel, *rest = by_name["classes"].get_weights()
    if isinstance(by_name["classes"], NormalizedSoftmax):
        class_kernel = np.float32(by_name["classes"].scale) * normalize(class_kernel.T).T
    class_bias = rest[0] if rest else np.zeros(class_kernel.shape[1], np.float32)
    return Head(kernel.astype(np.float32), bias.astype(np.float32), class_kernel, class_bias)
