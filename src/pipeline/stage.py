"""How every command starts and ends: checked parameters, progress, whole outputs, and one clear line on failure.

What only some commands need is imported where it is used.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from similarity.errors import DataError, UserError
from similarity.layout import PROBLEMS

if TYPE_CHECKING:
    from similarity.data.files import Outputs
    from similarity.params import Params

ADVICE = "Correct this, and run `dvc repro`: it brings back what comes out as before."
SECONDS = Path(".dvc/tmp/stage-seconds.json")
"""How long each stage took when it ran the last time in this folder."""
_LOCK = Path(".dvc/tmp/stage.lock")
_UNNOTICED = 0.5  # seconds

Item = TypeVar("Item")


def run_stage(main: "Callable[[Params, Outputs], None]") -> NoReturn:
    """Run a stage on the checked parameters, put its outputs in place if it succeeds, and exit as `run_command` does.

    A failure also prints how to get the outputs back, since DVC removes them before it runs the stage.
    """
    from pipeline.inputs import load_params

    from similarity.data.files import Outputs, replaced_file

    def run() -> None:
        start, stage = time.monotonic(), Path(sys.argv[0]).stem
        with only_stage(), Outputs() as outputs:
            try:
                main(load_params(), outputs)
            except DataError as error:
                if error.is_complete:
                    raise
                with replaced_file(PROBLEMS) as path:
                    path.write_text("".join(f"{problem}\n" for problem in error.problems), encoding="utf-8")
                raise UserError(f"{error}; all are in {PROBLEMS}") from error
        seconds = round(time.monotonic() - start, 1)
        with suppress(OSError, ValueError):  # nothing depends on it, and no stage may read it
            known = json.loads(SECONDS.read_bytes()) if SECONDS.exists() else {}
            SECONDS.write_text(json.dumps({**known, stage: seconds}), encoding="utf-8")
        print(f"{stage}: {seconds} s")

    run_command(run, f"\n{ADVICE}")


def run_command(main: Callable[[], object], advice: str = "") -> NoReturn:
    """Run a function and exit: 0 when done, 1 with one line that says what to do on failure, 130 on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # whatever the locale, a key or a × is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that temporary files are removed
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}{advice}")
    except BrokenPipeError:  # such as `query.py … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        sys.exit(f"error: {_describe(error)}{advice}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


@contextmanager
def only_stage() -> Iterator[None]:
    """Wait until no other stage of this project runs: a killed `dvc repro` may leave one behind."""
    from filelock import FileLock, Timeout

    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("waiting for another stage of this project to end", file=sys.stderr)
    with lock:
        yield


def _describe(error: OSError) -> str:
    """Say what is wrong with which file, and how to get it if the pipeline makes it."""
    path = str(error.filename or "")
    if not path or not isinstance(error, FileNotFoundError):
        return f"{path}: {error.strerror or error}".removeprefix(": ")
    if not path.startswith(("data/", "models/", "metrics/", "dvc.lock")):
        return f"{path} is missing"
    pull = "run `dvc repro`, or `dvc pull` to get what others have made"
    return f"{path} is missing: {pull if Path('dvc.yaml').exists() else 'run this in the root of the repository'}"


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = " images") -> Iterable[Item]:
    """Show the progress of an iteration that takes a while, if the output is a terminal."""
    from tqdm import tqdm

    return tqdm(items, label, total, leave=False, file=sys.stderr, disable=None, unit=unit, delay=_UNNOTICED)


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: 1 class, 2 classes, 1,200 images."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
