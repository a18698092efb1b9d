"""A service that is asked for minutes for all it can do, and for what it cannot: no error, and no memory lost.

It runs for as long as SOAK_SECONDS says, and not without.
"""

import io
import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from projects import Project
from service_process import ServiceProcesses

CLIENTS = 4
WARM_UP = 0.3  # share of the time after which memory counts: threads and caches have what they need
WINDOW_S = 10  # of which the least counts: what is kept, without what is being decoded
MAX_GROWTH = 2  # MB a minute; blocks that the allocator keeps make less than 1 on a busy machine
MIN_SECONDS = 300  # below which noise is larger than that
SEED = 11
SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS", "0"))
FINE, REFUSED, UNKNOWN = {200}, {200, 400, 415, 422}, {404}


def picture(rng: random.Random) -> bytes:
    """An image of any size up to some megapixels, in one of several formats."""
    width, height = (rng.choice((8, 48, 300, 1500)) for _ in range(2))
    pixels = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, rng.choice(("JPEG", "PNG", "WEBP", "BMP")))
    return buffer.getvalue()


def ask(address: str, number: int, end: float, keys: list[str], pictures: list[bytes]) -> Counter[str]:
    """Ask one thing after the other, right and wrong, and count the answers that are not what they should be."""
    rng, counts = random.Random(f"{SEED} {number}"), Counter[str]()  # noqa: S311  # not for secrets
    with httpx.Client(base_url=address, timeout=60) as api:
        while time.monotonic() < end:
            key, content = rng.choice(keys), rng.choice(pictures)
            damaged = rng.choice((content[: rng.randrange(len(content))], b"no image", b""))
            what, sent, fields, statuses = rng.choice((
                ("search", content, {"k": str(rng.randint(1, 100)), "any": "1"}, FINE),
                ("search", damaged, {}, REFUSED),
                ("similar", None, {"key": key, "k": "50", "look": str(rng.random())}, FINE),
                ("similar", None, {"key": f"{key}x"}, UNKNOWN),
                (f"images/{key}", None, {}, FINE),
                (f"images/{key}", None, {"thumbnail": str(rng.choice((32, 64, 200)))}, FINE),
                (rng.choice(("images", "map", "info", "docs/")), None, {}, FINE),
            ))  # fmt: skip
            if sent is None:
                response = api.get(f"/api/{what}", params=fields)
            else:
                response = api.post(f"/api/{what}", files={"image": ("x", sent)}, data=fields)
            is_right = response.status_code in statuses
            counts["right" if is_right else f"{what} {fields}: {response.status_code}"] += 1
    return counts


def memory_of(process: int) -> float:
    """Read the memory that a process has for itself, without files that it maps, in 10⁶ bytes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) / 1e6 for line in lines if line.startswith("Anonymous:"))


def least_memory(process: int, start: float, end: float) -> np.ndarray:
    """Watch the memory until the end: the least of each window after the warm-up, (seconds, 10⁶ bytes), (n, 2)."""
    least: dict[int, float] = {}
    while (now := time.monotonic()) < end:
        if now - start > WARM_UP * SOAK_SECONDS:
            window = int((now - start) / WINDOW_S)
            least[window] = min(memory_of(process), least.get(window, np.inf))
        time.sleep(0.2)
    return np.array([(WINDOW_S * window, memory) for window, memory in least.items()])


@pytest.mark.skipif(not SOAK_SECONDS, reason="takes minutes: SOAK_SECONDS=600")
def test_a_service_that_is_used_for_long_makes_no_error_and_keeps_its_memory(reproduced: Project) -> None:
    images, rng = reproduced.folder / "data/images", random.Random(SEED)  # noqa: S311  # not for secrets
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    pictures = [(images / key).read_bytes() for key in keys[:20]] + [picture(rng) for _ in range(40)]
    processes = ServiceProcesses(reproduced)
    try:
        address, start = processes.start(), time.monotonic()
        end = start + SOAK_SECONDS
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, address, number, end, keys, pictures) for number in range(CLIENTS)]
            least = least_memory(processes.processes[-1].pid, start, end)
            counts = sum((each.result() for each in asking), Counter[str]())
    finally:
        processes.stop()
    growth = 60 * np.polyfit(least[:, 0], least[:, 1], 1)[0]  # least squares
    print(f"{counts.total()} requests in {SOAK_SECONDS} s; {growth:+.2f} MB a minute, to {least[-1, 1]:.0f} MB")
    assert set(counts) == {"right"}
    assert growth < MAX_GROWTH or SOAK_SECONDS < MIN_SECONDS
