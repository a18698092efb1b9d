"""Whoever is told to end is gone within five seconds, also while an image is being decoded that takes longer."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import httpx
import pytest

from projects import Project
from raw_requests import UPLOAD_START, connect, upload_head
from service_process import ServiceProcesses

SLOW = b"P5 8000 6000 100\n" + bytes(8000 * 6000)  # each pixel takes Pillow a third of a microsecond or more
SECONDS = 5


@contextlib.contextmanager
def ending(process: subprocess.Popen[str], number: int) -> Iterator[None]:
    """Sends a signal to a process as soon as it has an image decoded, and waits for its end."""
    while not (decoders := decoders_of(process.pid)):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    start = time.monotonic()
    process.send_signal(number)
    process.wait(60)
    assert time.monotonic() - start < SECONDS
    yield
    while set(decoders) & set(decoders_of(1)):  # each notices that the process is gone, and then ends
        assert time.monotonic() - start < SECONDS
        time.sleep(0.05)


def decoders_of(parent: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if is_decoder(path, parent)]


def is_decoder(process: Path, parent: int) -> bool:
    try:
        status = (process / "status").read_text(encoding="utf-8")
        return f"\nPPid:\t{parent}\n" in status and b"run_decoder" in (process / "cmdline").read_bytes()
    except OSError:  # it is gone
        return False


def test_a_service(reproduced: Project, tmp_path: Path) -> None:
    processes, errors = ServiceProcesses(reproduced), tmp_path / "errors.txt"
    address = processes.start("--max-upload-mb=50", before=f"exec 2> {errors}")

    def upload() -> None:
        with contextlib.suppress(httpx.HTTPError):  # nobody answers
            httpx.post(f"{address}/api/search", files={"image": ("x", SLOW)}, timeout=60)

    client = Thread(target=upload)
    client.start()
    try:
        with connect(address) as dripping:
            dripping.sendall(upload_head(address, 1_000_000) + UPLOAD_START)
            with ending(processes.processes[0], signal.SIGTERM):
                client.join()
        assert processes.processes[0].returncode == 128 + signal.SIGTERM
        assert errors.read_text(encoding="utf-8") == ""
    finally:
        processes.processes[0].kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_scan(project: Project, number: int) -> None:
    (project.folder / "data/images/marble/slow.ppm").write_bytes(SLOW)
    before = project.contents("data/*", "metrics/*")
    process = subprocess.Popen(
        ["env", "--default-signal=INT", "python", "src/scan.py"],
        cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    with ending(process, number):
        assert process.returncode == 128 + number
        assert process.communicate()[0] == ""
    assert project.contents("data/*", "metrics/*") == before
