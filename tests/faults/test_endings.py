"""A service ends within five seconds, and its decoders with it, also while an image is decoded that takes longer."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from projects import Project
from raw_requests import UPLOAD_START, connect, upload_head
from samples import encode
from service_process import ServiceProcesses

SECONDS = 5


def slow_to_decode() -> bytes:
    """Draw a JPEG image that takes many seconds to decode, as its last refinement is repeated."""
    content = encode(Image.new("L", (7000, 7000)), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + 200 * content[start:-2] + content[-2:]


def used_seconds(process: int) -> float:
    """Return the time of a core that a process has used."""
    user, system = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / 100


def session_of(process: int) -> list[int]:
    """List the processes that one has started, and those that they have, by the session that all are in."""
    command = ["ps", "-o", "stat=,pid=", "-s", str(process)]
    lines = subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout.splitlines()
    return [int(line.split()[1]) for line in lines if not line.startswith("Z")]  # ended, and nobody has asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_and_its_decoders(reproduced: Project, tmp_path: Path, number: int) -> None:
    processes, errors = ServiceProcesses(reproduced), tmp_path / "errors.txt"
    address, body = processes.start(before=f"exec 2> {errors}"), UPLOAD_START + slow_to_decode() + b"\r\n--b--\r\n"
    service = processes.processes[0]
    with connect(address) as dripping, connect(address) as complete:
        dripping.sendall(upload_head(address, 1_000_000) + UPLOAD_START)
        before = {each: used_seconds(each) for each in session_of(service.pid) if each != service.pid}
        complete.sendall(upload_head(address, len(body)) + body)
        while not any(used_seconds(each) > seconds + 0.3 for each, seconds in before.items()):
            time.sleep(0.05)
        start = time.monotonic()
        service.send_signal(number)
        service.wait(60)
    while session_of(service.pid):
        assert time.monotonic() - start < SECONDS
        time.sleep(0.05)
    assert service.returncode == (128 + number if number == signal.SIGTERM else -number)
    assert errors.read_text(encoding="utf-8") == ""
