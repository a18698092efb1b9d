"""The class part of the embedding: a ReLU layer and a softmax over the classes, on top of frozen features."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.vectors import row_blocks


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


def glorot_head(features: int, size: int, classes: int, rng: np.random.Generator) -> Head:
    """A head to begin with: uniform kernels after Glorot & Bengio (AISTATS 2010), as in Keras, and biases of zero."""

    def kernel(rows: int, columns: int) -> np.ndarray:
        limit = (6 / (rows + columns)) ** 0.5
        return rng.uniform(-limit, limit, (rows, columns)).astype(np.float32)

    zeros = (np.zeros(length, np.float32) for length in (size, classes))
    return Head(kernel(features, size), next(zeros), kernel(size, classes), next(zeros))


def untaught_head(features: int, size: int) -> Head:
    """The head where no classes were there to learn from: all zeros."""
    shapes = (features, size), (size,), (size, 1), (1,)
    return Head(*(np.zeros(shape, np.float32) for shape in shapes))


def without_embedding(head: Head) -> Head:
    """A head for the same features whose embedding has no dimensions."""
    return Head(head.kernel[:, :0], head.bias[:0], head.class_kernel[:0], head.class_bias)


def save_head(head: Head, path: Path) -> None:
    """Writes the weights as Keras has them, `path` must end in ``.weights.h5``, without importing Keras (seconds).

    They are those of ``Sequential([Dense(E, "relu"), Dense(C, "softmax")])``, whose probabilities are those of the loss
    ``softmax``; a head trained with ``normalized_softmax`` needs `class_logits`.
    """
    import h5py

    content = BytesIO()  # HDF5 itself crashes on a full disk
    layers = {
        "dense": ("embedding", head.kernel, head.bias),
        "dense_1": ("classes", head.class_kernel, head.class_bias),
    }
    with h5py.File(content, "w") as file:
        file.create_group("vars")
        for place, (name, *weights) in layers.items():
            variables = file.create_group(f"layers/{place}/vars")
            variables.attrs["name"] = name
            for number, values in enumerate(weights):
                variables[str(number)] = values
    path.write_bytes(content.getvalue())


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


def embed(
    features: np.ndarray, head: Head, multiply: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.matmul
) -> np.ndarray:
    """Maps features, float32 (n, D), to their embeddings, float32 (n, E), none negative, by some matrix product."""
    blocks = (np.maximum(multiply(block, head.kernel) + head.bias, 0) for block in row_blocks(features))
    return np.concatenate([np.empty((0, len(head.bias)), np.float32), *blocks])


def predict_classes(features: np.ndarray, head: Head) -> np.ndarray:
    """The class index that the head finds most likely for each row of features, float32 (n, D): int64 (n,).

    No loss need be named: cosines have no bias, so the length of an embedding does not change which is the highest.
    """
    return (embed(features, head) @ head.class_kernel + head.class_bias).argmax(axis=1)
