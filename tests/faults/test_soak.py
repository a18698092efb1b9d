"""A service that is asked for minutes for all it can do, and for what it cannot: no error, and no memory lost.

It runs for as long as SOAK_SECONDS says, and not without.
"""

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from projects import Project
from samples import encode, noisy_picture
from service_process import ServiceProcesses

CLIENTS = 4
WARM_UP = 0.3  # share of the time after which memory counts: threads and caches have what they need
WINDOW_S = 10  # of which the least counts: what is kept, without what is being decoded
MAX_GROWTH = 2  # MB a minute; blocks that the allocator keeps make less than 1 on a busy machine
MIN_SECONDS = 300  # below which noise is larger than that
SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS", "0"))
SIDES, FORMATS = (8, 48, 300, 1500), ("JPEG", "PNG", "WEBP", "BMP")


def ask(address: str, number: int, end: float, keys: list[str], pictures: list[bytes]) -> Counter[str]:
    """Ask one thing after the other, right and wrong, and count the answers that are not what they should be."""
    rng, counts = random.Random(number), Counter[str]()  # noqa: S311  # not for secrets
    with httpx.Client(base_url=address, timeout=60) as api:
        while time.monotonic() < end:
            key, content = rng.choice(keys), rng.choice(pictures)
            damaged = rng.choice((content[: rng.randrange(len(content))], b"no image", b""))
            what, sent, fields, statuses = rng.choice((
                ("search", content, {"k": str(rng.randint(1, 100)), "any": "1"}, {200}),
                ("search", damaged, {}, {200, 400, 415, 422}),
                ("similar", None, {"key": key, "k": "50", "look": str(rng.random())}, {200}),
                ("similar", None, {"key": f"{key}x"}, {404}),
                (f"images/{key}", None, rng.choice(({}, {"thumbnail": "64"})), {200}),
                (rng.choice(("images", "map", "info", "docs/")), None, {}, {200}),
            ))  # fmt: skip
            if sent is None:
                response = api.get(f"/api/{what}", params=fields)
            else:
                response = api.post(f"/api/{what}", files={"image": ("x", sent)}, data=fields)
            counts["right" if response.status_code in statuses else f"{what} {fields}: {response.status_code}"] += 1
    return counts


def memory_of(process: int) -> float:
    """Read the memory that a process has for itself, without files that it maps, in 10⁶ bytes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) / 1e6 for line in lines if line.startswith("Anonymous:"))


@pytest.mark.skipif(not SOAK_SECONDS, reason="takes minutes: SOAK_SECONDS=600")
def test_a_service_that_is_used_for_long_makes_no_error_and_keeps_its_memory(reproduced: Project) -> None:
    images = reproduced.folder / "data/images"
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    drawn = [encode(noisy_picture(width, height), each) for width in SIDES for height in SIDES for each in FORMATS]
    pictures = drawn + [(images / key).read_bytes() for key in keys[:20]]
    processes, least = ServiceProcesses(reproduced), dict[int, float]()
    try:
        address, start = processes.start(), time.monotonic()
        end = start + SOAK_SECONDS
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, address, number, end, keys, pictures) for number in range(CLIENTS)]
            time.sleep(WARM_UP * SOAK_SECONDS)
            while (now := time.monotonic()) < end:
                window = WINDOW_S * int((now - start) / WINDOW_S)
                least[window] = min(memory_of(processes.processes[-1].pid), least.get(window, np.inf))
                time.sleep(0.2)
            counts = sum((each.result() for each in asking), Counter[str]())
    finally:
        processes.stop()
    growth = 60 * np.polyfit([*least], [*least.values()], 1)[0]  # least squares
    print(f"{counts.total()} requests in {SOAK_SECONDS} s; {growth:+.2f} MB a minute")
    assert set(counts) == {"right"}
    assert growth < MAX_GROWTH or SOAK_SECONDS < MIN_SECONDS
