"""The class part of the embedding: a ReLU layer and a softmax over the classes, on top of frozen features."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import keras

_ROWS_PER_BLOCK = 8192


class Head(NamedTuple):
    """The weights of both layers, float32. E is the size of the embedding, C the number of classes.

    Attributes:
        kernel: (D, E), from features to the embedding.
        bias: (E,).
        class_kernel: (E, C), from the embedding to the classes' logits.
        class_bias: (C,).
    """

    kernel: np.ndarray
    bias: np.ndarray
    class_kernel: np.ndarray
    class_bias: np.ndarray


def build_keras_head(features: int, size: int, classes: int) -> "keras.Model":
    """The head as a Keras model, from features (n, D) to class probabilities (n, classes), with new weights.

    Its `.weights.h5` is what the `train` stage saves. Its probabilities are those of ``softmax``; a head trained
    with ``normalized_softmax`` needs `class_logits`.
    """
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((features,)),
            layers.Dense(size, activation="relu", name="embedding"),
            layers.Dense(classes, activation="softmax", name="classes"),
        ],
        name="head",  # an automatic name would differ from run to run, and it goes into the file
    )


def untaught_head(features: int, size: int) -> Head:
    """The head where no classes were there to learn from: all zeros."""
    shapes = (features, size), (size,), (size, 1), (1,)
    return Head(*(np.zeros(shape, np.float32) for shape in shapes))


def without_embedding(head: Head) -> Head:
    """A head for the same features whose embedding has no dimensions."""
    return Head(head.kernel[:, :0], head.bias[:0], head.class_kernel[:0], head.class_bias)


def save_head(head: Head, path: Path) -> None:
    """Writes the weights in Keras' own format; `path` must end in ``.weights.h5``."""
    model = build_keras_head(len(head.kernel), *head.class_kernel.shape)
    model.set_weights(list(head))
    model.save_weights(path)


def load_head(path: Path) -> Head:
    """Reads what `save_head` wrote, without importing Keras (seconds).

    Raises:
        OSError: there is no such file, or it is no HDF5 file.
        KeyError: it holds other layers.
    """
    import h5py

    with path.open("rb") as content, h5py.File(content) as file:
        layers = {layer["vars"].attrs["name"]: layer["vars"] for layer in file["layers"].values()}
        return Head(*(layers[name][part][:] for name in ("embedding", "classes") for part in ("0", "1")))


def embed(features: np.ndarray, head: Head) -> np.ndarray:
    """Maps features, float32 (n, D), to their embeddings, float32 (n, E), none negative."""
    embeddings = np.empty((len(features), len(head.bias)), np.float32)
    for start in range(0, len(features), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        embeddings[rows] = np.maximum(features[rows] @ head.kernel + head.bias, 0)
    return embeddings


def predict_classes(features: np.ndarray, head: Head) -> np.ndarray:
    """The class index that the head finds most likely for each row of features, float32 (n, D): int64 (n,).

    No loss need be named: cosines have no bias, so the length of an embedding does not change which is the highest.
    """
    return (embed(features, head) @ head.class_kernel + head.class_bias).argmax(axis=1)
