"""A signal ends a run even where its exception is lost."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys
from pipeline.stage import run_command, stop_if_told

class Finalized:
    def __del__(self):  # what is raised here goes no further
        os.kill(os.getpid(), int(sys.argv[1]))
        [None for _ in range(1000)]

def main():
    Finalized()
    print("lost", flush=True)
    stop_if_told()
    print("still running")

signal.signal(signal.SIGINT, signal.default_int_handler)
run_command(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_finalizer_ends_the_run_at_the_next_step(number: int) -> None:
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(int(number))], cwd=source, check=False, capture_output=True, encoding="utf-8"
    )
    assert (done.stdout, done.returncode) == ("lost\n", 128 + number)
