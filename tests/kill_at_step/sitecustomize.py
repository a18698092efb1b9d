"""Kills the stage whose interpreter finds this on its path, at one of the steps by which outputs get to their places.

A step is a rename, a removal or a flush to the disk. STEP says which one is not taken any more: its number, or
`written` for the first one after the journal is written. The number of all steps goes to the file STEPS_TO.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_OF_OUTPUTS = (".new.", ".old.", "outputs.journal")
_JOURNAL = Path(".dvc/tmp/outputs.journal")
_last, _taken = os.environ["STEP"], 0


def _step() -> None:
    global _taken  # of the process, as the steps are
    _taken += 1
    if str(_taken) == _last or (_last == "written" and _JOURNAL.exists()):
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"os.rename", "os.remove", "shutil.rmtree"} and any(name in str(arguments) for name in _OF_OUTPUTS):
        _step()


def _watched(flush: Callable[..., None]) -> Callable[..., None]:
    def watched(*arguments: int) -> None:
        _step()
        flush(*arguments)

    return watched


if sys.orig_argv[-1].startswith("src/"):  # not in what a stage itself starts
    sys.addaudithook(_watch)
    os.fsync, os.sync = _watched(os.fsync), _watched(os.sync)
    atexit.register(lambda: Path(os.environ["STEPS_TO"]).write_text(str(_taken), encoding="utf-8"))
