"""The network that is trained: a Keras model on top of frozen features, its optimizer, and how it is fitted.

Importing this module imports TensorFlow (seconds). To apply a trained network, `similarity.embedding.model` is enough.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from similarity.data.evaluation.retrieval import evaluate_retrieval, sample_queries
from similarity.data.files import release_pages
from similarity.data.quiet import prepare_tensorflow
from similarity.data.vectors import normalize, standardization
from similarity.embedding.model import Head, embed
from similarity.errors import UserError
from similarity.params import TrainParams

prepare_tensorflow()  # quietly, and with deterministic operations

import keras  # noqa: E402
from keras import layers, ops  # noqa: E402

DECAY = 1e-6  # of the learning rate per step, as in the original
WEIGHT_DECAY = 1.0  # per epoch, × the learning rate: per step, it would act more on larger data sets
PROBABILITY = 0.9  # of a class whose cosine is 1 where those of all others are 0
_DROPOUT, _DROPOUT_IMAGES = 0.5, 100  # images per class up to which so much is needed
_STEPS_PER_EXECUTION = 16  # without going back to Python; changes no result
_VALIDATION_BATCH = 1024  # images
_EPOCHS_PER_RANKING, _RANKED_QUERIES, _RANKED_GALLERY = 3, 500, 5000


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
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    measure_all: bool = True,
) -> tuple[Head, dict[str, list[float]]]:
    """Fit a new network to the training images, and keep the epoch that is best for the validation images.

    Args:
        train: what the weights are fitted to.
        valid: what the best epoch is chosen by.
        classes: C.
        size: length of the class part, E.
        params: how to train.
        callbacks: called after those that are always there.
        measure_all: whether `val_loss` and `val_accuracy` are measured also where they choose nothing.

    Returns:
        The weights, and `loss`, `accuracy`, `val_loss` (nats), `val_accuracy` and `val_map_at_r` of each epoch.

    Raises:
        UserError: a loss is not finite any more.
    """

    def stop_if_diverged(epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite([logs["loss"], logs.get("val_loss", 0)]).all():
            raise UserError(f"training diverged in epoch {epoch + 1}: lower train.lr in params.yaml, now {params.lr:g}")

    keras.backend.clear_session()
    keras.utils.set_random_seed(params.seed)
    standard = standardization(train.features, train.rows) if params.loss == "normalized_softmax" else None
    if params.dropout is None:
        params = params.model_copy(update={"dropout": choose_dropout(len(train.rows) / classes)})
    network = build_network(train.features.shape[1], size, classes, params, standard)
    batches = Batches(train, params.batch_size, np.random.default_rng(params.seed))
    compile_network(network, params, len(batches))
    monitor, mode = params.best_epoch_by
    patience = params.patience or params.epochs
    history = network.fit(
        batches,
        validation_data=Batches(valid, _VALIDATION_BATCH) if measure_all or monitor == "val_loss" else None,
        epochs=params.epochs,
        shuffle=False,  # `Batches` draws the order
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=stop_if_diverged),
            ValidationRanking(train, valid, params.epochs),
            keras.callbacks.EarlyStopping(monitor, patience=patience, mode=mode, restore_best_weights=True),
            *callbacks,
        ],
        verbose=0,
    )
    return head_of(network), history.history


class ValidationRanking(keras.callbacks.Callback):
    """Add `val_map_at_r` to an epoch's figures: how well validation images find training images of their class.

    It is measured in every third epoch and the last one, on a sample, by the class part alone; in between it stays.
    """

    def __init__(self, train: Labeled, valid: Labeled, epochs: int) -> None:
        super().__init__()
        gallery, queries = (
            sample_queries(np.arange(len(each.rows)), each.labels, count, seed=0)
            for each, count in ((train, _RANKED_GALLERY), (valid, _RANKED_QUERIES))
        )
        self._features = np.concatenate([train.features[train.rows[gallery]], valid.features[valid.rows[queries]]])
        self._labels = np.concatenate([train.labels[gallery], valid.labels[queries]])
        self._split, self._epochs, self._value = len(gallery), epochs, 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Measure, or repeat the last figure."""
        if epoch % _EPOCHS_PER_RANKING == 0 or epoch == self._epochs - 1:
            embeddings = embed(self._features, head_of(self.model))
            rows = np.arange(len(embeddings))
            found = evaluate_retrieval(embeddings, self._labels, rows[self._split :], rows[: self._split])
            self._value = float(found.scores["map_at_r"].mean())
        logs["val_map_at_r"] = self._value


def choose_dropout(images: float) -> float:
    """Return the share of the features to drop, for a mean number of training images per class.

    Dropout acts as a penalty on the weights (Wager et al., "Dropout Training as Adaptive Regularization", NIPS 2013);
    the more images there are, the less of it they need.
    """
    return _DROPOUT * min(1, math.sqrt(_DROPOUT_IMAGES / images))


def build_network(
    features: int, size: int, classes: int, params: TrainParams, standard: tuple[np.ndarray, np.ndarray] | None = None
) -> keras.Model:
    """Build the network: features, (n, D), to an embedding, (n, E), to the probabilities of the classes, (n, C).

    With the loss ``softmax``, these are the layers of the original.

    `standard` are mean and scale of each feature, float32 (D,), that bring it to mean 0 and standard deviation 1.
    """
    network = keras.Sequential([keras.Input((features,))])
    if standard:
        mean, scale = standard
        network.add(layers.Normalization(mean=mean, variance=np.square(scale), name="standardization"))
    is_original = params.loss == "softmax"
    if params.dropout and not is_original:
        network.add(layers.Dropout(params.dropout, name="dropout"))
    network.add(layers.Dense(size, "relu", name="embedding"))
    if is_original:
        network.add(layers.Dense(classes, "softmax", name="classes"))
    else:
        factor = params.scale or math.log(PROBABILITY / (1 - PROBABILITY) * (classes - 1))
        network.add(NormalizedSoftmax(classes, factor, name="classes"))
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
    """Give a network its loss and its optimizer, for epochs of so many steps.

    The schedule `constant` has the decay of the original: the learning rate of step t is lr / (1 + 10⁻⁶ · t).
    """
    if params.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(params.lr, params.epochs * steps)
    else:
        rate = keras.optimizers.schedules.InverseTimeDecay(params.lr, decay_steps=1, decay_rate=DECAY)
    settings: dict[str, Any] = {"momentum": params.momentum, "nesterov": True} if params.optimizer == "sgd" else {}
    if params.loss == "normalized_softmax":
        settings["weight_decay"] = WEIGHT_DECAY / steps
    optimizers = {name.lower(): optimizer for name, optimizer in vars(keras.optimizers).items()}
    network.compile(
        optimizers[params.optimizer](rate, **settings),
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
        self._order = np.arange(len(labeled.rows))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * self._size : (index + 1) * self._size]
        return self._labeled.features[self._labeled.rows[chosen]], self._labeled.labels[chosen]

    def on_epoch_end(self) -> None:
        """Give back the memory of what was read, and draw the order of the next epoch."""
        release_pages(self._labeled.features)
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
        mean, variance = (np.asarray(each, np.float64)[0] for each in (standard.mean, standard.variance))
        kernel = kernel / np.sqrt(variance)[:, None]
        bias = bias - mean @ kernel
    class_kernel, *rest = by_name["classes"].get_weights()
    if isinstance(by_name["classes"], NormalizedSoftmax):
        class_kernel = np.float32(by_name["classes"].scale) * normalize(class_kernel.T).T
    class_bias = rest[0] if rest else np.zeros(class_kernel.shape[1], np.float32)
    return Head(kernel.astype(np.float32), bias.astype(np.float32), class_kernel, class_bias)
