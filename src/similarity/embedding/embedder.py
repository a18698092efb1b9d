"""From pixels to embeddings: the frozen backbone and the trained head in one."""

from dataclasses import dataclass

import numpy as np

from similarity.embedding.head import Head, embed
from similarity.errors import UserError
from similarity.features.extractor import MIN_AGREEMENT, Extractor
from similarity.vectors import normalize


@dataclass(frozen=True)
class Embedder:
    """Embeds images as the pipeline does. One call at a time: not to be shared by threads."""

    extractor: Extractor
    head: Head

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Maps RGB pixels, float32 (n, size, size, 3) in 0…255, to embeddings, float32 (n, E)."""
        return embed(self.extractor(pixels), self.head)

    def check(self, pixels: np.ndarray, embeddings: np.ndarray) -> None:
        """Embeds a few indexed images once more, so that a query is never compared with what another model made.

        Args:
            pixels: of these images, float32 (n, size, size, 3) in 0…255.
            embeddings: what is stored for them, float32 (n, E), none all zeros.

        Raises:
            UserError: what comes out is something else.
        """
        agreement = 0.0
        if self.extractor.features == len(self.head.kernel) and embeddings.shape[1] == len(self.head.bias):
            agreement = float((normalize(self(pixels)) * normalize(embeddings)).sum(axis=1).min(initial=1))
        if not agreement >= MIN_AGREEMENT:
            raise UserError(
                "the model does not give the stored embeddings of indexed images "
                f"(cosine {agreement:.4f}, at least {MIN_AGREEMENT} is needed): data/ and models/ come from different "
                "runs; run `dvc repro`, or `dvc checkout` to go back to the last one"
            )
