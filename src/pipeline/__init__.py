"""Running a stage or a command; imported by the scripts before anything else.

Importing libraries takes up to a second. A signal that comes meanwhile ends the script at once and without a traceback,
since nothing is begun that would have to be cleaned up. `pipeline.stage` takes over from there.
"""

import os
import signal
import sys


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
