"""How every command starts and ends: checked parameters, progress, whole outputs, and one clear line on failure."""

import ctypes
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, TypeVar

from tqdm import tqdm

from similarity.errors import UserError
from similarity.files import Outputs
from similarity.params import Params, load_params
from similarity.replacing import finish_replacing

_LOCKS = Path(".dvc/tmp")
JOURNAL = _LOCKS / "outputs.journal"
_GRACE_SECONDS = 3  # after a signal, to clean up; then the process ends, whatever its threads and libraries do
_PR_SET_PDEATHSIG = 1  # of Linux' prctl
_UNNOTICED = 0.5  # seconds
WAY_BACK = "git checkout HEAD -- . && dvc checkout"

Item = TypeVar("Item")

_received: list[int] = []  # signals


def run_stage(main: Callable[[Params, Outputs], None]) -> NoReturn:
    """Runs a stage on the checked parameters, puts its outputs in place together if it succeeds, and exits.

    See `run_command` for the exit status. A failure also names the way back: DVC removes a stage's outputs before it
    runs the stage. A stage that still runs is waited for; if DVC is killed, the stage ends as well.

    If the stage is killed while its outputs take their places, the next command of this project sees to it that all of
    them do, before it reads anything. It leaves those to themselves that DVC, or others, have changed meanwhile.
    """

    def run() -> None:
        _end_with_dvc()
        with only_run_of(Path(sys.argv[0]).stem), Outputs(JOURNAL) as outputs:
            finish_replacing(JOURNAL)  # again: the run that was waited for may have been killed
            main(load_params(), outputs)

    try:
        run_command(run)
    except SystemExit as end:
        if isinstance(end.code, str):
            end.code += f"\nTo get the last committed results back: {WAY_BACK}"
        raise


def run_command(main: Callable[[], object]) -> NoReturn:
    """Runs a function and exits: 0 when done, 1 with one line that says what to do on failure, 130 on Ctrl-C."""
    _prepare_process()
    try:
        _run(main)
    except (Exception, SystemExit):
        if _received:  # a library may have made another exception of the signal's
            sys.exit(128 + _received[0])
        raise
    sys.exit(0)


def _run(main: Callable[[], object]) -> None:
    try:
        finish_replacing(JOURNAL)
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except FileNotFoundError as error:
        if error.filename is None:
            sys.exit(f"error: {error}")
        sys.exit(f"error: {error.filename} is missing{_how_to_get(str(error.filename))}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _prepare_process() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # whatever the locale, a key or a × is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):  # so that a killed run cleans up as well
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: object) -> NoReturn:
    _received.append(number)
    end_soon(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def end_soon(number: int) -> None:
    """Ends the process three seconds after a signal, if it has not ended by then."""
    timer = threading.Timer(_GRACE_SECONDS, os._exit, [128 + number])
    timer.daemon = True
    timer.start()


def _end_with_dvc() -> None:
    """Asks for SIGTERM when DVC ends before the stage: the next `dvc repro` would run the stage beside this one."""
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent or parent == 1:  # it ended before that
            sys.exit(128 + signal.SIGTERM)


@contextmanager
def only_run_of(stage: str) -> Iterator[None]:
    """Waits until no other process runs a stage of this project; the lock goes with the process, however it ends."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    with (_LOCKS / f"{stage}.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{stage}: waiting for another run of this stage to end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stop_if_told() -> None:
    """Ends the run if a signal came whose exception was lost, as it is in a finalizer."""
    if _received:
        _stop(_received[0], None)


def _how_to_get(path: str) -> str:
    if not path.startswith(("data/", "models/", "metrics/")):
        return ""
    if not Path("dvc.yaml").exists():
        return ": run this in the root of the repository"
    return ": run `dvc repro`, or `dvc pull` to get what others have made"


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = " images") -> Iterable[Item]:
    """Shows the progress of an iteration that takes a while, unless the output is no terminal.

    One of a single step shows none: it would tell nothing until it is over.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    return tqdm(
        items, desc=label, total=total, unit=unit, file=sys.stderr, leave=False, delay=_UNNOTICED,
        disable=True if total == 1 else None,
    )  # fmt: skip


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 class, 2 classes, 1,200 images."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
