"""Running the model on batches gathered from concurrent requests."""

from collections import deque
from collections.abc import Callable
from threading import Lock

import numpy as np


class _Item:
    """One image on its way: its pixels, then its embedding or what went wrong."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.embedding: np.ndarray | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.embedding is not None or self.error is not None


class BatchingEmbedder:
    """Embeds one image per call, from any number of threads.

    Whoever finds the model free runs it for all that wait by then. So a lone request waits for nobody and is handed to
    no other thread, and the batches grow with the load.
    """

    def __init__(self, embed: Callable[[np.ndarray], np.ndarray], max_batch: int) -> None:
        """Takes the model, which maps float32 (n, size, size, 3) to embeddings, float32 (n, E), for n ≤ `max_batch`."""
        self._embed = embed
        self._max_batch = max_batch
        self._waiting: deque[_Item] = deque()
        self._model = Lock()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Maps pixels, float32 (size, size, 3) in 0…255, to their embedding, float32 (E,)."""
        item = _Item(pixels)
        self._waiting.append(item)
        with self._model:
            while not item.is_done:
                self._run([self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))])
        if item.error is not None:
            raise item.error
        assert item.embedding is not None
        return item.embedding

    def _run(self, batch: list[_Item]) -> None:
        try:
            embeddings = self._embed(np.stack([item.pixels for item in batch]))
        except Exception as error:  # goes to every request of the batch, which would wait for ever without it
            for item in batch:
                item.error = error
        else:
            for item, embedding in zip(batch, embeddings, strict=True):
                item.embedding = embedding
