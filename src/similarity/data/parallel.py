"""Threads for work that releases the interpreter lock, such as reading and decoding images."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], ahead: int = 64) -> Iterator[Result]:
    """Apply a function in as many threads as there are cores, and yield the results in the order of the items.

    Unlike `Executor.map` it works at most `ahead` items ahead of the results that are taken, so memory stays bounded.
    If no more of them are taken, as after a signal, nothing is waited for.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for future in queued((pool.submit(function, item) for item in items), ahead):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def queued(tasks: Iterable[Item], ahead: int) -> Iterator[Item]:
    """Yield tasks, which an iteration starts, in their order, when `ahead` further ones are started or none is left."""
    started = deque[Item]()
    for task in tasks:
        started.append(task)
        if len(started) > ahead:
            yield started.popleft()
    while started:
        yield started.popleft()
