"""Many clients at once: mixed uploads and key look-ups on loopback, what they waited, and what the service took.

    python benchmarks/serve_load.py [--clients 64] [--seconds 60] [--max-connections 400] [--output FILE]

Half of the requests upload an image, half ask for a key; each client sends its next request as soon as it has the
answer. A 503 counts as sent away, and the client waits as long as Retry-After says; anything else but 200 is an error.
Memory is the service's, in 10⁶ bytes.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import numpy as np

from comparison import add_output, publish
from running_service import running_service

sys.path.insert(0, "src")


from similarity.dataset.manifest import read_manifest
from similarity.layout import IMAGES, MANIFEST


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--clients", 64), ("--seconds", 60), ("--max-connections", 400)):
        parser.add_argument(name, type=int, default=default)
    add_output(parser)
    arguments = parser.parse_args()
    clients, seconds, connections = arguments.clients, arguments.seconds, arguments.max_connections
    keys = read_manifest(MANIFEST).keys
    with running_service("--max-connections", str(connections)) as (address, process):
        before = memory(process)
        start = time.perf_counter()
        counts, waits, peaks = asyncio.run(load(f"http://{address}", keys, clients, seconds, process))
        seconds_taken = time.perf_counter() - start
    lines = [
        f"{len(keys):,} images, {clients} clients for {seconds_taken:.0f} s, at most {connections} connections\n",
        "| | requests/s | median, ms | 99 %, ms |\n|---|--:|--:|--:|",
    ]
    for kind, times in sorted(waits.items()):
        middle, late = 1000 * np.percentile(times, [50, 99])
        lines.append(f"| {kind} | {len(times) / seconds_taken:.0f} | {middle:.1f} | {late:.1f} |")
    quarters = ", ".join(f"{max(part):.0f}" for part in np.array_split(peaks, 4))
    lines.append(f"\nresponses by status: {', '.join(f'{count} × {status}' for status, count in counts.items())}")
    lines.append(f"\nmemory, MB: {before:.0f} at the start, highest of each quarter: {quarters}")
    publish("\n".join(lines), "Many clients of the service", arguments.output)


async def load(
    address: str, keys: list[str], clients: int, seconds: int, process: int
) -> tuple[Counter[int], dict[str, list[float]], list[float]]:
    counts: Counter[int] = Counter()
    waits: dict[str, list[float]] = defaultdict(list)
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        rng = np.random.default_rng(number)
        async with httpx.AsyncClient(base_url=address, timeout=60) as connection:
            while time.perf_counter() < end:
                key = keys[rng.integers(len(keys))]
                kind = "upload" if rng.random() < 0.5 else "key"
                start = time.perf_counter()
                if kind == "upload":
                    response = await connection.post("/api/search", files={"image": (IMAGES / key).read_bytes()})
                else:
                    response = await connection.get("/api/similar", params={"key": key})
                counts[response.status_code] += 1
                if response.status_code == 503:
                    await asyncio.sleep(float(response.headers["retry-after"]))
                else:
                    waits[kind].append(time.perf_counter() - start)

    async def watch() -> list[float]:
        peaks = []
        while time.perf_counter() < end:
            peaks.append(memory(process))
            await asyncio.sleep(0.2)
        return peaks

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client(number) for number in range(clients)))
    peaks = await watching
    return counts, waits, peaks


def memory(process: int) -> float:
    """The memory that a process occupies, in 10⁶ bytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
