"""From features to embeddings: the class part, then the visual part."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from similarity.embedding.head import Head, embed
from similarity.embedding.visual_part import VisualPart
from similarity.files import write_arrays
from similarity.vectors import multiply_rows, normalize, row_blocks


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
        embeddings = np.empty((len(features), self.size), np.float32)
        start = 0
        for block in row_blocks(features):
            rows, start = slice(start, start + len(block)), start + len(block)
            embeddings[rows, : self.class_size] = embed(block, self.head, multiply_rows)
            embeddings[rows, self.class_size :] = self.visual(block)
            if len(self.visual.bias):
                self._join(embeddings[rows])
        return embeddings

    def _join(self, embeddings: np.ndarray) -> None:
        """Scale both parts of some embeddings in place."""
        for part, weight in (
            (slice(self.class_size), 1 - self.visual_weight),
            (slice(self.class_size, None), self.visual_weight),
        ):
            embeddings[:, part] = np.float32(weight**0.5) * normalize(embeddings[:, part])


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
