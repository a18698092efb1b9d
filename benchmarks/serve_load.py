"""Many clients at once: mixed uploads and key look-ups on loopback, what they waited, and the service's memory.

    python benchmarks/serve_load.py [--clients 64] [--seconds 60] [--side 7000] [--output FILE]

Half of the requests upload an image, half ask for a key; each client sends its next request as soon as it has the
answer. A 503 counts as refused, and the client waits as long as Retry-After says; anything else but 200 is an error.
With `--side`, uploads are JPEGs of that many pixels squared instead of indexed images. Memory is in 10⁶ bytes.
"""

import asyncio
import io
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from comparison import as_markdown, make_parser, publish, run_command
from similarity.data.dataset.manifest import read_manifest
from similarity.layout import IMAGES, MANIFEST


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--side", type=int, help="of the photographs that are uploaded, in pixels")
    arguments = parser.parse_args()
    keys = read_manifest(MANIFEST).keys
    large = large_photograph(arguments.side) if arguments.side else None

    def upload(key: str) -> bytes:
        return large or (IMAGES / key).read_bytes()

    with running_service() as (address, process):
        before, start = memory(process), time.perf_counter()
        requests = load(f"http://{address}", keys, upload, arguments.clients, arguments.seconds, process)
        counts, waits, peaks = asyncio.run(requests)
        seconds = time.perf_counter() - start
    rows = []
    for kind, times in sorted(waits.items()):
        middle, late = 1000 * np.percentile(times, [50, 99])
        rows.append([kind, f"{len(times) / seconds:.0f}", f"{middle:.1f}", f"{late:.1f}"])
    quarters = ", ".join(f"{max(part):.0f}" for part in np.array_split(peaks, 4))
    lines = [
        f"{len(keys):,} images, {arguments.clients} clients for {seconds:.0f} s",
        as_markdown(["", "requests/s", "median, ms", "99 %, ms"], rows),
        f"responses by status: {', '.join(f'{count} × {status}' for status, count in counts.items())}",
        f"memory, MB: {before:.0f} at the start, highest of each quarter: {quarters}",
    ]
    publish("\n\n".join(lines), "Many clients of the service", arguments.output)


@contextmanager
def running_service() -> Iterator[tuple[str, int]]:
    """Start `src/serve.py` on a free port; yield its address as host:port, and its process number."""
    command = [sys.executable, "src/serve.py", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            sys.exit("error: the service did not start: run `dvc repro` first")
        try:
            yield line.split("http://")[1].split()[0], process.pid
        finally:
            process.terminate()


def large_photograph(side: int) -> bytes:
    """Draw a JPEG of side × side pixels."""
    colors = np.random.default_rng(0).integers(0, 256, (side // 100, side // 100, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colors).resize((side, side), Image.Resampling.NEAREST).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


async def load(
    address: str, keys: list[str], upload: Callable[[str], bytes], clients: int, seconds: int, process: int
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
                    response = await connection.post("/api/search", files={"image": upload(key)})
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
    return counts, waits, await watching


def memory(process: int) -> float:
    """Read the memory that a process occupies, in 10⁶ bytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    run_command(main)
