"""From features to embeddings without Keras: the class part, two trained layers, then the visual part."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.data.files import write_arrays
from similarity.data.vectors import multiply_rows, normalize, row_blocks
from similarity.embedding.visual_part import VisualPart


class Head(NamedTuple):
    """The weights of both layers, float32; E is the length of the embedding, C the number of classes.

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


def untaught_head(features: int, size: int) -> Head:
    """Return the head for a data set without classes to learn from: all zeros."""
    shapes = (features, size), (size,), (size, 1), (1,)
    return Head(*(np.zeros(shape, np.float32) for shape in shapes))


def without_embedding(head: Head) -> Head:
    """Return a head for the same features whose embedding has no dimensions."""
    return Head(head.kernel[:, :0], head.bias[:0], head.class_kernel[:0], head.class_bias)


def save_head(head: Head, path: Path) -> None:
    """Write the weights as a ``.weights.h5`` file of Keras, with the same bytes every time.

    ``load_weights`` of ``Sequential([Input((D,)), Dense(E, "relu"), Dense(C, "softmax")])`` reads it. Keras need not be
    imported for that, and a full disk gives one clear error, where HDF5's own has several lines. After a training with
    ``normalized_softmax``, only embeddings of length 1 give the right probabilities; see `head_of`.
    """
    import h5py

    content = BytesIO()
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
    """Read what `save_head` wrote."""
    import h5py

    with path.open("rb") as content, h5py.File(content) as file:
        layers = {layer["vars"].attrs["name"]: layer["vars"] for layer in file["layers"].values()}
        return Head(*(layers[name][part][:] for name in ("embedding", "classes") for part in ("0", "1")))


def embed(
    features: np.ndarray, head: Head, multiply: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.matmul
) -> np.ndarray:
    """Map features, float32 (n, D), to embeddings, float32 (n, E), none negative, by some matrix product."""
    blocks = (np.maximum(multiply(block, head.kernel) + head.bias, 0) for block in row_blocks(features))
    return np.concatenate([np.empty((0, len(head.bias)), np.float32), *blocks])


def predict_classes(features: np.ndarray, head: Head) -> np.ndarray:
    """Find the most likely class of each row of features, float32 (n, D): its index, int64 (n,).

    This holds for both losses: cosines have no bias, so the length of an embedding does not change the best class.
    """
    return (embed(features, head) @ head.class_kernel + head.class_bias).argmax(axis=1)


@dataclass(frozen=True)
class EmbeddingModel:
    """Maps features to embeddings.

    An embedding is the class part at length √(1 − w), then the visual part at length √w, so that the cosine of two
    embeddings is (1 − w) · cosine of the class parts + w · cosine of the visual parts. Without a visual part, it is
    the output of the ReLU layer as it is.

    Attributes:
        head: gives the class part, E numbers.
        visual: gives the visual part, K numbers.
        visual_weight: w, 0…1.
    """

    head: Head
    visual: VisualPart
    visual_weight: float

    @property
    def class_size(self) -> int:
        """Length of the class part, the beginning of an embedding."""
        return len(self.head.bias)

    @property
    def size(self) -> int:
        """Length of an embedding."""
        return self.class_size + len(self.visual.bias)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map features, float32 (n, D), to embeddings, float32 (n, E + K); no row changes the bits of another."""
        embeddings, start = np.empty((len(features), self.size), np.float32), 0
        for block in row_blocks(features):
            rows = slice(start, start := start + len(block))
            parts = [embed(block, self.head, multiply_rows), self.visual(block)]
            if len(self.visual.bias):
                weights = (1 - self.visual_weight, self.visual_weight)
                parts = [np.float32(w**0.5) * normalize(part) for w, part in zip(weights, parts, strict=True)]
            np.concatenate(parts, axis=1, out=embeddings[rows])
        return embeddings


def save_model(model: EmbeddingModel, path: Path) -> None:
    """Write all arrays of a model as a ``.npz`` file."""
    arrays = {**model.head._asdict(), **{f"visual_{name}": array for name, array in model.visual._asdict().items()}}
    write_arrays(path, {**arrays, "visual_weight": np.float64(model.visual_weight)})


def load_model(path: Path) -> EmbeddingModel:
    """Read what `save_model` wrote."""
    with np.load(path) as arrays:
        head = Head(*(arrays[name] for name in Head._fields))
        visual = VisualPart(arrays["visual_kernel"], arrays["visual_bias"])
        return EmbeddingModel(head, visual, float(arrays["visual_weight"]))
