"""The search service as a process of its own, for the benchmarks of it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running_service(*options: str) -> Iterator[tuple[str, int]]:
    """Starts `src/serve.py` on a free port; gives its address as host:port, and its process number."""
    command = [sys.executable, "src/serve.py", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            sys.exit("error: the service did not start: run `dvc repro` first")
        try:
            yield line.split("http://")[1].split()[0], process.pid
        finally:
            process.terminate()
