"""Running a stage or a command; imported by the scripts before anything else.

Importing libraries takes up to a second. A signal that comes meanwhile ends the script at once and without a traceback,
since nothing is begun that would have to be cleaned up. `pipeline.stage` takes over from there.

OpenBLAS, which NumPy and SciPy bring, reads its settings when it is loaded.
"""

import os
import signal
import sys

# Its threads wait for work in a loop that keeps a core busy, for 2 to this power of clock cycles: by default for 20 ms
# after whatever they do, and when they start. That took a third of the processor time of short stages, and helped none.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")


def _leave(number: int, _: object) -> None:
    os._exit(128 + number)


def _is_run_by_a_script() -> bool:
    """Whether a script of this folder runs, and not a test that imports its parts."""
    scripts = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  # see below
    # Importing pathlib would take longer than all else here.
    return os.path.dirname(os.path.abspath(sys.argv[0])) == scripts  # noqa: PTH100, PTH120


if _is_run_by_a_script():
    for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(_number) == _default:  # not ignored, as in the background of a shell
            signal.signal(_number, _leave)
