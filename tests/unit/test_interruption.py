"""A signal ends a run even where its exception is lost."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

LOST = """
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
EXCHANGED = """
import os, signal, sys
from pipeline.stage import run_command

def main():
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        [None for _ in range(1000)]
    except BaseException as error:  # as an extension module does that is interrupted while it is imported
        raise ImportError("initialization failed") from error

signal.signal(signal.SIGINT, signal.default_int_handler)
run_command(main)
"""
SOURCE = Path(__file__).parents[2] / "src"


def run(script: str, number: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(int(number))], cwd=SOURCE, check=False, capture_output=True, encoding="utf-8"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_finalizer_ends_the_run_at_the_next_step(number: int) -> None:
    done = run(LOST, number)
    assert (done.stdout, done.returncode) == ("lost\n", 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_library_makes_an_error_of_ends_the_run_all_the_same(number: int) -> None:
    done = run(EXCHANGED, number)
    assert (done.stderr, done.returncode) == ("", 128 + number)
