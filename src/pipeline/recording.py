"""Having DVC record what a command changed in its place, as it records what its stages do."""

from pipeline.paths import ADDED, LEARNED_IMAGES

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from similarity.errors import UserError


def record(stages: Sequence[str]) -> None:
    """Has DVC track the folders of added images, and record stages as they would be after a run.

    Raises:
        UserError: DVC fails.
    """
    new, changed = [], list(stages)
    for folder in (ADDED, LEARNED_IMAGES):
        tracked = Path(f"{folder}.dvc")
        if not folder.exists() or not any(folder.iterdir()):
            with suppress(FileNotFoundError):
                folder.rmdir()
            tracked.unlink(missing_ok=True)
        elif tracked.exists():
            changed.append(str(tracked))
        else:
            new.append(str(folder))
    if new:
        _run_dvc("add", *new)
    if changed:
        _run_dvc("commit", "--force", *changed)


def _run_dvc(command: str, *arguments: str) -> None:
    run = [sys.executable, "-m", "dvc", command, "--quiet", *arguments]
    done = subprocess.run(run, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UserError(
            f"the index is up to date, but `dvc {command}` failed to record it (above): run this command once more"
        )
