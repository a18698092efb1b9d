"""Threads for work that releases the interpreter lock, such as reading and decoding images."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], ahead: int = 64) -> Iterator[Result]:
    """Apply a function in as many threads as there are cores, and yields the results in the order of the items.

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


class Room:
    """A number of bytes that threads share: a thread that wants more than is left waits for the others."""

    def __init__(self, size: int) -> None:
        self._size, self._taken, self._changed = size, 0, Condition()

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        """Take some room for a block; more than there is at all is given to one thread at a time."""
        wanted = min(wanted, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + wanted <= self._size)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()
