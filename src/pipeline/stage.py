"""How every command starts and ends: checked parameters, progress, whole outputs, and one clear line on failure."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

from tqdm import tqdm

from similarity.errors import UserError
from similarity.files import Outputs
from similarity.params import Params, load_params

WAY_BACK = "git checkout HEAD -- . && dvc checkout"

Item = TypeVar("Item")

_received: list[int] = []  # signals


def run_stage(main: Callable[[Params, Outputs], None]) -> NoReturn:
    """Runs a stage on the checked parameters, puts its outputs in place together if it succeeds, and exits.

    See `run_command` for the exit status. A failure also names the way back: DVC removes a stage's outputs before it
    runs the stage.
    """

    def run() -> None:
        with Outputs() as outputs:
            main(load_params(), outputs)

    try:
        run_command(run)
    except SystemExit as end:
        if isinstance(end.code, str):
            end.code += f"\nTo get the last committed results back: {WAY_BACK}"
        raise


def run_command(main: Callable[[], object]) -> NoReturn:
    """Runs a function and exits: 0 when done, 1 with one line that says what to do on failure, 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, _stop)  # so that a killed run cleans up as well
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing{_how_to_get(str(error.filename))}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _stop(number: int, _: object) -> NoReturn:
    _received.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def stop_if_told() -> None:
    """Ends the run if a signal came whose exception was lost, as it is in a finalizer of TensorFlow's."""
    if _received:
        _stop(_received[0], None)


def _how_to_get(path: str) -> str:
    if not path.startswith(("data/", "models/", "metrics/")):
        return ""
    if not Path("dvc.yaml").exists():
        return ": run this in the root of the repository"
    return ": run `dvc repro`, or `dvc pull` to get what others have made"


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = " images") -> Iterable[Item]:
    """Shows the progress of an iteration, unless the output is no terminal."""
    return tqdm(items, desc=label, total=total, unit=unit, disable=None, leave=False, file=sys.stderr)
