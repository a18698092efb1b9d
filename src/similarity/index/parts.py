"""The two parts of an embedding, and the look that weighs them in a cosine."""

from dataclasses import dataclass

import numpy as np

from similarity.errors import UserError
from similarity.vectors import normalize


class LookUnavailableError(UserError):
    """A look was asked for that the embeddings or the index cannot give."""


@dataclass(frozen=True)
class Parts:
    """How embeddings are made of a class part and, after it, a visual part.

    Attributes:
        size: length of an embedding, E.
        class_size: length of the class part.
        visual_weight: of the visual part in a cosine, 0…1.
    """

    size: int
    class_size: int
    visual_weight: float

    @property
    def are_two(self) -> bool:
        """Whether there are both, between which a look can choose."""
        return 0 < self.class_size < self.size and 0 < self.visual_weight < 1

    @property
    def lengths(self) -> list[tuple[slice, float]]:
        """The parts of an embedding of length 1, and their lengths where none is all zeros."""
        if not self.are_two:
            return [(slice(None), 1.0)]
        weights = 1 - self.visual_weight, self.visual_weight
        return list(zip((slice(self.class_size), slice(self.class_size, None)), np.sqrt(weights), strict=True))

    def restore(self, units: np.ndarray) -> np.ndarray:
        """Gives each part of embeddings of length 1, float32 (n, E), the length that it has where none is all zeros."""
        lengths = np.ones((len(units), 1), np.float32)
        lengths[~units[:, : self.class_size].any(axis=1)] = self.visual_weight**0.5
        lengths[~units[:, self.class_size :].any(axis=1)] = (1 - self.visual_weight) ** 0.5
        return units if (lengths == 1).all() else units * lengths

    def weigh(self, unit: np.ndarray, look: float) -> np.ndarray:
        """Weighs the parts of a query, float32 (E,), so that its products with what `restore` gives are the cosines.

        Args:
            unit: of length 1, or all zeros.
            look: weight of the visual part, 0 (same kind) … 1 (same look).

        Raises:
            LookUnavailableError: there is one part only.
        """
        if not self.are_two:
            raise LookUnavailableError(
                "these embeddings have one part only, so there is no look to choose: both parts need class folders, "
                "and embedding.visual_size above 0 and embedding.visual_weight between 0 and 1 in params.yaml"
            )
        parts = unit[: self.class_size], unit[self.class_size :]
        weights = (1 - look) / (1 - self.visual_weight) ** 0.5, look / self.visual_weight**0.5
        scaled = [weight * normalize(part[None])[0] for part, weight in zip(parts, weights, strict=True)]
        return np.concatenate(scaled).astype(np.float32)
