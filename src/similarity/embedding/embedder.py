"""From pixels to embeddings: a folder that holds the frozen backbone and the embedding model, and can be used alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from similarity.data.features.extractor import Extractor, load_extractor
from similarity.data.vectors import normalize
from similarity.embedding.model import EmbeddingModel, load_model, save_model
from similarity.errors import UserError

_MODEL = "embedding.npz"


@dataclass(frozen=True)
class Embedder:
    """Embeds images as the pipeline does. One call at a time: not to be shared by threads."""

    extractor: Extractor
    model: EmbeddingModel

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Map RGB pixels, float32 (n, size, size, 3) in 0…255, to embeddings, float32 (n, E + K)."""
        return self.model(self.extractor(pixels))

    def check(self, pixels: np.ndarray, embeddings: np.ndarray) -> None:
        """Embed a few indexed images again, so that a query is never compared with embeddings of another model.

        Args:
            pixels: of these images, float32 (n, size, size, 3) in 0…255.
            embeddings: the stored ones of these images, float32 (n, E + K), none all zeros.

        Raises:
            UserError: the new embeddings differ from the stored ones.
        """
        agreement = 0.0
        if self.extractor.features == len(self.model.head.kernel) and embeddings.shape[1] == self.model.size:
            agreement = float((normalize(self(pixels)) * normalize(embeddings)).sum(axis=1).min(initial=1))
        if not agreement >= self.extractor.min_agreement:
            raise UserError(
                f"the model does not give the stored embeddings of indexed images (cosine {agreement:.4f}, at least "
                f"{self.extractor.min_agreement} is needed): data/ and models/ come from different runs; run "
                "`dvc repro`, or `dvc checkout` to go back to the last one"
            )


def save_embedder(folder: Path, backbone: Path, model: EmbeddingModel) -> None:
    """Fill an existing folder with a copy of the backbone's folder and with the embedding model."""
    for file in sorted(backbone.iterdir()):
        (folder / file.name).write_bytes(file.read_bytes())
    save_model(model, folder / _MODEL)


def load_embedder(folder: Path, batch_sizes: Sequence[int]) -> Embedder:
    """Load what `save_embedder` wrote, prepared for some numbers of images; see `load_extractor`."""
    return Embedder(load_extractor(folder, batch_sizes), load_embedding_model(folder))


def load_embedding_model(folder: Path) -> EmbeddingModel:
    """Load only the embedding model from such a folder."""
    return load_model(folder / _MODEL)
