"""A service that is asked for minutes for all it can do, and for what it cannot: no error, and no memory lost.

It runs for as long as SOAK_SECONDS says, and not without. Below 300 seconds, noise is larger than lost memory.
"""

import os
import random
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from projects import Project
from samples import encode, noisy_picture
from service_process import ServiceProcesses

CLIENTS = 4
MAX_GROWTH = 2  # MB a minute; blocks that the allocator keeps make less than 1 on a busy machine
SECONDS = int(os.environ.get("SOAK_SECONDS", "0"))
SIDES, FORMATS = (8, 48, 300, 1500), ("JPEG", "PNG", "WEBP", "BMP")


def ask(address: str, number: int, end: float, keys: list[str], pictures: list[bytes]) -> set[str]:
    """Ask one thing after the other, right and wrong, and return the answers that are not what they should be."""
    rng, wrong = random.Random(number), set[str]()  # noqa: S311  # not for secrets
    with httpx.Client(base_url=address, timeout=60) as api:
        while time.monotonic() < end:
            key, content = rng.choice(keys), rng.choice(pictures)
            calls: Sequence[tuple[str, str, dict[str, Any], set[int]]] = (
                ("POST", "search", {"files": {"image": content}, "data": {"k": 100, "any": "1"}}, {200}),
                ("POST", "search", {"files": {"image": content[: rng.randrange(len(content))]}}, {200, 400, 415, 422}),
                ("GET", f"similar?key={key}&k=50&look={rng.random()}", {}, {200}),
                ("GET", f"similar?key={key}x", {}, {404}),
                ("GET", f"images/{key}{rng.choice(('', '?thumbnail=64'))}", {}, {200}),
                ("GET", rng.choice(("images", "map", "info", "docs/")), {}, {200}),
            )
            method, path, sent, statuses = rng.choice(calls)
            response = api.request(method, f"/api/{path}", **sent)
            if response.status_code not in statuses:
                wrong.add(f"{path}: {response.status_code}")
    return wrong


@pytest.mark.skipif(not SECONDS, reason="takes minutes: SOAK_SECONDS=600")
def test_a_service_that_is_used_for_long_makes_no_error_and_keeps_its_memory(reproduced: Project) -> None:
    images = reproduced.folder / "data/images"
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    drawn = [encode(noisy_picture(width, height), each) for width in SIDES for height in SIDES for each in FORMATS]
    pictures = drawn + [(images / key).read_bytes() for key in keys[:20]]
    processes, used = ServiceProcesses(reproduced), list[float]()
    try:
        address, end = processes.start(), time.monotonic() + SECONDS
        metrics = f"{address}/metrics"
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, address, number, end, keys, pictures) for number in range(CLIENTS)]
            time.sleep(0.3 * SECONDS)  # until threads and caches have what they need
            while time.monotonic() < end:
                [bytes_used] = re.findall(
                    r"^process_resident_memory_bytes (.*)$", httpx.get(metrics).text, re.MULTILINE
                )
                used.append(float(bytes_used) / 1e6)
                time.sleep(0.2)
    finally:
        processes.stop()
    assert not set[str]().union(*(each.result() for each in asking))
    half = len(used) // 2  # the least of each half is what is kept, without what is being decoded
    assert (min(used[half:]) - min(used[:half])) / (0.35 * SECONDS / 60) < MAX_GROWTH or SECONDS < 300
