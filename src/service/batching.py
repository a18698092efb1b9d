"""Running the model on batches gathered from concurrent requests."""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np


class _Item:
    """One image on its way: its pixels, then its features or what went wrong."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.features: np.ndarray | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.features is not None or self.error is not None

    def result(self) -> np.ndarray:
        """The features."""
        if self.error is not None:
            raise self.error
        assert self.features is not None
        return self.features


class BatchingExtractor:
    """Computes the features of some images per call, from any number of threads.

    Whoever finds the model free runs it for all that wait by then. So a lone request waits for nobody and is handed to
    no other thread, and the batches grow with the load.
    """

    def __init__(self, extract: Callable[[np.ndarray], np.ndarray], max_batch: int) -> None:
        """Takes what maps float32 (n, size, size, 3) to features, float32 (n, D), for n ≤ `max_batch`."""
        self._extract = extract
        self.max_batch = max_batch
        self._waiting: deque[_Item] = deque()
        self._model = Lock()

    def __call__(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Maps the pixels of images, float32 (size, size, 3) in 0…255, to their features, float32 (n, D)."""
        items = [_Item(each) for each in pixels]
        self._waiting.extend(items)
        with self._model:
            while not all(item.is_done for item in items):
                self._run([self._waiting.popleft() for _ in range(min(self.max_batch, len(self._waiting)))])
        return np.stack([item.result() for item in items])

    def _run(self, batch: list[_Item]) -> None:
        try:
            rows = self._extract(np.stack([item.pixels for item in batch]))
        except Exception as error:  # goes to every request of the batch, which would wait for ever without it
            for item in batch:
                item.error = error
        else:
            for item, features in zip(batch, rows, strict=True):
                item.features = features
