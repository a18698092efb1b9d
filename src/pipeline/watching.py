"""Figures that can be watched while a stage runs, in `dvc exp show` and in what draws its plots."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from similarity.files import Outputs

_SECONDS = 1.0  # between two versions


class WatchedFiles:
    """Outputs of a stage that it writes whenever there is something new, before it writes them for good.

    DVC has removed them before the stage, so nothing is lost by that. A stage that runs without DVC does not write
    them, and one that fails removes them. Each version is whole; one younger than a second is not replaced.
    """

    def __init__(self, *paths: Path) -> None:
        """Takes the paths of the outputs."""
        self._paths, self._is_watched = paths, "DVC_STAGE" in os.environ
        self._next = time.monotonic() + _SECONDS

    def update(self, write: Callable[[Outputs], object]) -> None:
        """Writes a version of the files with a function, if it is time."""
        if self._is_watched and time.monotonic() >= self._next:
            with Outputs() as outputs:
                write(outputs)
            self._next = time.monotonic() + _SECONDS

    def __enter__(self) -> "WatchedFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._is_watched:
            for path in self._paths:
                path.unlink(missing_ok=True)
