"""What the service's memory does when many large photographs come at once.

    python benchmarks/serve_large_uploads.py [--uploads 24] [--output FILE]

Each is a JPEG of 49 million pixels. Memory is the service's, in 10⁶ bytes.
"""

import argparse
import asyncio
import io
import sys
import time

import httpx
import numpy as np
from PIL import Image

from comparison import add_output, publish
from running_service import running_service
from serve_load import memory

SIDE = 7000  # pixels
SECONDS_BEFORE_THUMBNAIL = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=24)
    add_output(parser)
    arguments = parser.parse_args()
    uploads = arguments.uploads
    content = large_photograph()
    with running_service() as (address, process):
        before = memory(process)
        peak, thumbnail = asyncio.run(load(f"http://{address}", content, uploads, process))
        after = memory(process)
    lines = [
        f"{uploads} uploads at once of {SIDE} × {SIDE} pixels, {len(content) / 1e6:.1f} MB each\n",
        f"- memory, MB: {before:.0f} before, {peak:.0f} at most, {after:.0f} after",
        f"- a thumbnail meanwhile: {1000 * thumbnail:.0f} ms",
    ]
    publish("\n".join(lines), "Large uploads to the service", arguments.output)


def large_photograph() -> bytes:
    colors = np.random.default_rng(0).integers(0, 256, (SIDE // 100, SIDE // 100, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colors).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


async def load(address: str, content: bytes, uploads: int, process: int) -> tuple[float, float]:
    """Gives the highest memory, and the seconds that a thumbnail took in the midst of it."""
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        key = (await client.get("/api/images", params={"size": 1})).json()["images"][0]["key"]
        waiting = [asyncio.create_task(client.post("/api/search", files={"image": content})) for _ in range(uploads)]
        highest = asyncio.create_task(peak_while(waiting, process))
        await asyncio.sleep(SECONDS_BEFORE_THUMBNAIL)
        start = time.perf_counter()
        await client.get(f"/api/images/{key}", params={"thumbnail": 64})
        seconds = time.perf_counter() - start
        responses = await asyncio.gather(*waiting)
        if {response.status_code for response in responses} != {200}:
            sys.exit(f"error: {[response.status_code for response in responses]}")
        return await highest, seconds


async def peak_while(tasks: list[asyncio.Task[httpx.Response]], process: int) -> float:
    peak = 0.0
    while not all(task.done() for task in tasks):
        peak = max(peak, memory(process))
        await asyncio.sleep(0.05)
    return peak


if __name__ == "__main__":
    main()
