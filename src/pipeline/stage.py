"""How every script of the pipeline starts and ends: checked parameters, progress, and one clear line on failure."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

from tqdm import tqdm

from similarity.errors import UserError
from similarity.params import Params, load_params

WAY_BACK = "git checkout HEAD -- . && dvc checkout"

Item = TypeVar("Item")


def run(main: Callable[[Params], None]) -> NoReturn:
    """Runs a stage on the checked parameters and exits; see `run_command`.

    A failure names the way back as well: DVC removes the outputs of a stage before it runs the stage.
    """
    try:
        run_command(lambda: main(load_params()))
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.exit(f"{end.code}\nto go back to the last commit, uncommitted changes included: {WAY_BACK}")
        raise


def run_command(main: Callable[[], None]) -> NoReturn:
    """Runs a function and exits: 0 when done, 1 with one line on what to mend, 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a killed run cleans up, too
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


def _how_to_get(path: str) -> str:
    if not path.startswith(("data/", "models/", "metrics/")):
        return ""
    if not Path("dvc.yaml").exists():
        return ": run this in the root of the repository"
    return ": run `dvc repro`, or `dvc pull` to get what others have made"


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = " images") -> Iterable[Item]:
    """Shows the progress of an iteration, unless the output is no terminal."""
    return tqdm(items, desc=label, total=total, unit=unit, disable=None, leave=False, file=sys.stderr)
