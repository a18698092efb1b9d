"""Running a function in a process of its own that is killed on its way."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

# Not forked from the process that runs tests: its threads may hold locks that nobody in the child would release.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "similarity.files"])


def die_at_step(step: int, run: Callable[[], object]) -> bool:
    """Runs a function, which can be pickled, until before its nth rename, removal or flush; tells if it got there."""
    process = _CONTEXT.Process(target=_run_until, args=(Path.cwd(), step, run))
    process.start()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def _run_until(folder: Path, step: int, run: Callable[[], object]) -> None:
    os.chdir(folder)
    left = step

    def watched(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    for name in ("rename", "unlink", "rmdir"):
        setattr(os, name, watched(getattr(os, name)))
    for name in ("fsync", "sync"):  # they decide what a power failure leaves, and no test can cut the power
        setattr(os, name, watched(lambda *_: None))
    run()
