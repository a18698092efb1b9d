import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.batching import BatchingExtractor


class Model:
    """Gives each image's brightness; counts its batches, and waits for `gate` in the first one."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixels))
        if len(self.batches) == 1:
            self.gate.wait(10)
        if (pixels < 0).any():
            raise ValueError("dark")
        return pixels.mean(axis=(1, 2))


def image(value: float) -> np.ndarray:
    return np.full((4, 4, 3), value, np.float32)


def test_requests_that_come_while_the_model_is_busy_share_batches_and_each_gets_its_own_answer() -> None:
    model = Model()
    embed = BatchingExtractor(model, max_batch=8)
    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(embed, [image(0)])
        while not model.batches:
            pass
        rest = [pool.submit(embed, [image(value)]) for value in range(1, 21)]
        while len(embed._waiting) < 20:
            pass
        model.gate.set()
        assert [float(each.result()[0, 0]) for each in [first, *rest]] == list(range(21))
    assert model.batches == [1, 8, 8, 4]


def test_a_failure_reaches_every_request_of_its_batch_and_no_later_one() -> None:
    model = Model()
    model.gate.set()
    embed = BatchingExtractor(model, max_batch=8)
    with pytest.raises(ValueError, match="dark"):
        embed([image(-1)])
    assert embed([image(3)])[0, 0] == 3


def test_images_of_one_request_share_batches_and_come_in_their_order() -> None:
    model = Model()
    model.gate.set()
    features = BatchingExtractor(model, max_batch=8)([image(value) for value in range(19)])
    assert features[:, 0].tolist() == list(range(19))
    assert model.batches == [8, 8, 3]
