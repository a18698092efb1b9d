"""A service that is asked for minutes for all it can do, and for what it cannot: no error, and no memory lost.

It runs for as long as SOAK_SECONDS says, and not without.
"""

import io
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

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

Answers = Counter[tuple[str, int, bool]]
"""Numbers of answers, by the kind of the request, the status, and whether it is right."""


class Request(NamedTuple):
    """What a client asks, and which answers are right."""

    kind: str
    send: Callable[[httpx.Client], httpx.Response]
    statuses: frozenset[int]


def picture(rng: random.Random) -> bytes:
    """An image of any size up to some megapixels, in one of several formats."""
    width, height = (rng.choice((8, 48, 300, 1500)) for _ in range(2))
    pixels = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, rng.choice(("JPEG", "PNG", "WEBP", "BMP")))
    return buffer.getvalue()


def damaged(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return rng.choice((content[:place], content[:place] + b"\xff\0" + content[place:], b"no image", b""))


def draw_request(rng: random.Random, keys: list[str], pictures: list[bytes]) -> Request:
    key, content = rng.choice(keys), rng.choice(pictures)

    def upload(sent: bytes, **fields: str) -> Callable[[httpx.Client], httpx.Response]:
        return lambda api: api.post("/api/search", files={"image": ("x", sent)}, data=fields)

    def get(path: str, **parameters: str) -> Callable[[httpx.Client], httpx.Response]:
        return lambda api: api.get(path, params=parameters)

    fine, refused, unknown = frozenset({200}), frozenset({200, 400, 415, 422}), frozenset({404, 422})
    return rng.choice((
        Request("upload", upload(content, any="1"), fine),
        Request("upload with options", upload(content, k=str(rng.randint(1, 100)), compare="true", any="1"), fine),
        Request("damaged upload", upload(damaged(content, rng)), refused),
        Request("key", get("/api/similar", key=key), fine),
        Request("key with options", get("/api/similar", key=key, k="50", look=str(rng.random())), fine),
        Request("wrong parameters", get("/api/similar", key=key, **rng.choice(({"k": "x"}, {"label": "\0"}))), unknown),
        Request("unknown key", get("/api/similar", key=f"{key}x"), unknown),
        Request("image", get(f"/api/images/{key}"), fine),
        Request("thumbnail", get(f"/api/images/{key}", thumbnail=str(rng.choice((32, 64, 200)))), fine),
        Request("list", get("/api/images"), fine),
        Request("map and facts", get(rng.choice(("/api/map", "/api/info", "/healthz", "/"))), fine),
    ))  # fmt: skip


def ask(address: str, number: int, end: float, keys: list[str], pictures: list[bytes]) -> Answers:
    """Ask one thing after the other, and count the answers."""
    rng, counts = random.Random(f"{SEED} {number}"), Answers()  # noqa: S311  # not for secrets
    with httpx.Client(base_url=address, timeout=60) as api:
        while time.monotonic() < end:
            request = draw_request(rng, keys, pictures)
            status = request.send(api).status_code
            counts[request.kind, status, status in request.statuses] += 1
    return counts


def memory_of(process: int) -> float:
    """Read the memory that a process has for itself, without files that it maps, in 10⁶ bytes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) / 1e6 for line in lines if line.startswith("Anonymous:"))


def watch(process: int, end: float) -> Iterator[tuple[float, float]]:
    """Sample the memory: seconds, and 10⁶ bytes."""
    start = time.monotonic()
    while (now := time.monotonic()) < end:
        yield now - start, memory_of(process)
        time.sleep(0.2)


def least_of_windows(samples: list[tuple[float, float]]) -> np.ndarray:
    """Keep the sample with the least memory of each window after the warm-up, float64 (n, 2)."""
    settled = [sample for sample in samples if sample[0] > WARM_UP * SOAK_SECONDS]
    windows = groupby(settled, lambda sample: int(sample[0] / WINDOW_S))
    return np.array([min(window, key=itemgetter(1)) for _, window in windows])


@pytest.mark.skipif(not SOAK_SECONDS, reason="takes minutes: SOAK_SECONDS=600")
def test_a_service_that_is_used_for_long_makes_no_error_and_keeps_its_memory(reproduced: Project) -> None:
    images, rng = reproduced.folder / "data/images", random.Random(SEED)  # noqa: S311  # not for secrets
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    pictures = [(images / key).read_bytes() for key in keys[:20]] + [picture(rng) for _ in range(40)]
    processes = ServiceProcesses(reproduced)
    try:
        address = processes.start()
        end = time.monotonic() + SOAK_SECONDS
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, address, number, end, keys, pictures) for number in range(CLIENTS)]
            samples = list(watch(processes.processes[-1].pid, end))
            counts = sum((each.result() for each in asking), Answers())
    finally:
        processes.stop()
    least = least_of_windows(samples)
    growth = 60 * np.polyfit(least[:, 0], least[:, 1], 1)[0]  # least squares
    summary = (
        f"{counts.total()} requests in {SOAK_SECONDS} s; memory without files: {samples[0][1]:.0f} MB at the start, "
        f"{least[0, 1]:.0f} after the warm-up, {least[-1, 1]:.0f} at the end; {growth:+.2f} MB a minute"
    )
    print(summary)
    assert not {key[:2]: count for key, count in counts.items() if not key[2]}, summary
    assert growth < MAX_GROWTH or SOAK_SECONDS < MIN_SECONDS, summary
