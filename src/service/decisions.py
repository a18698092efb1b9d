"""What people decide about labels: rows of `data/corrections.csv`, which the stage `fetch` applies."""

import os
from pathlib import Path
from threading import Lock
from typing import Literal

from service import schema
from service.failures import Refusal
from similarity.data.dataset.corrections import Correction, Decision, read_corrections, write_corrections
from similarity.layout import CORRECTIONS, DATA

_WRITING = Lock()


def read(root: Path) -> dict[str, Correction]:
    """Read all decisions below the folder of a project, by key."""
    return read_corrections(root / CORRECTIONS)


def list_all(root: Path, may_write: bool) -> schema.Corrections:
    """List all decisions, and whether this service takes more."""
    entries = [
        schema.Correction(key=key, decision=each.decision, label=each.label or None) for key, each in read(root).items()
    ]
    return schema.Corrections(writable=may_write and os.access(root / DATA, os.W_OK), corrections=entries)


def decide(root: Path, key: str, decision: Decision | Literal["undecided"], label: str | None) -> None:
    """Write a decision, or remove the one that there is if an image is to be ``undecided``."""
    try:
        with _WRITING:
            decisions = read(root)
            decisions.pop(key, None)
            if decision != "undecided":
                decisions[key] = Correction(decision, label or "")
            write_corrections(root / CORRECTIONS, decisions)
    except OSError as error:
        message = f"{CORRECTIONS} cannot be written here ({error.strerror}): decide where the pipeline runs."
        raise Refusal(403, "read_only", message) from error
