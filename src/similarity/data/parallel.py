"""Threads for work that releases the interpreter lock, such as reading and decoding images."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], ahead: int = 64) -> Iterator[Result]:
    """Apply a function in as many threads as there are cores, and yield the results in the order of the items.

    Unlike `Executor.map` it works at most `ahead` items ahead of the results that are taken, so memory stays bounded.
    If no more of them are taken, as after a signal, nothing is waited for.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
