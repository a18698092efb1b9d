"""Running a stage or a command; imported by the scripts before anything else.

Importing libraries takes up to a second. A signal that comes meanwhile ends the script at once and without a traceback,
since nothing is begun that would have to be cleaned up. `pipeline.stage` takes over from there.
"""

import os
import signal
import sys
from pathlib import Path


def _leave(number: int, _: object) -> None:
    os._exit(128 + number)


if Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parents[1]:  # not when tests import this
    for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(_number) == _default:  # not ignored, as in the background of a shell
            signal.signal(_number, _leave)
