"""What every script starts with; imported before anything else."""

import os
import sys
from types import TracebackType

# By default OpenBLAS' threads keep a core busy for 20 ms after whatever they do; this is read when NumPy is loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")


def _without_interrupts(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):  # Ctrl-C while modules are imported needs no traceback
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _without_interrupts
