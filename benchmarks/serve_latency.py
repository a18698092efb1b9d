"""How long one client waits for the search service, compared with a bare forward pass of the backbone.

    python benchmarks/serve_latency.py [--rounds 10] [--output FILE]

All take turns on the same images, on keep-alive connections over loopback; the table has medians over all rounds.
"""

import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np

from comparison import as_markdown, make_parser, publish, run_command
from serve_load import running_service
from similarity import open_index
from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.computing import load_pixels
from similarity.data.features.extractor import load_extractor
from similarity.data.images.decoding import read_image
from similarity.layout import BACKBONE, IMAGES, MANIFEST

PER_ROUND = 50


def main() -> None:
    arguments = make_parser(__doc__, rounds=10).parse_args()
    keys = read_manifest(MANIFEST).keys
    chosen = [keys[i] for i in np.linspace(0, len(keys) - 1, PER_ROUND).astype(int)]
    forward, index = load_extractor(BACKBONE, (1,)), open_index()
    paths = [IMAGES / key for key in chosen]
    pixels = [load_pixels(path, forward.image_size)[None] for path in paths]
    contents, uploads = [path.read_bytes() for path in paths], [as_form(path) for path in paths]
    images = [read_image(content) for content in contents]  # as pixels, since their paths would be taken for keys
    with running_service() as (address, _):
        connection = http.client.HTTPConnection(address)
        contenders: dict[str, tuple[Callable, list]] = {
            "bare forward pass of the backbone for one image": (forward, pixels),
            "decoding at the scale that is needed": (lambda each: read_image(each, forward.image_size), contents),
            "pixels, embedded and searched by `open_index().search`": (lambda image: index.search(image), images),
            "image never seen, uploaded": (lambda form: post(connection, *form), uploads),
            "indexed image, by key": (lambda key: get(connection, f"/api/similar?key={quote(key)}"), chosen),
            "request that does nothing": (lambda _: get(connection, "/healthz"), chosen),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, (function, inputs) in contenders.items():
                times[name] += timed(function, inputs)
    median = {name: 1000 * float(np.median(values)) for name, values in times.items()}
    forward_ms, decoding, _, upload, *_ = median.values()
    lines = [
        f"{len(keys):,} images, medians of {arguments.rounds * PER_ROUND} requests each, one client",
        as_markdown(["", "ms"], [[name, f"{value:.2f}"] for name, value in median.items()]),
        f"uploaded / (forward pass + decoding): {upload / (forward_ms + decoding):.2f}",
    ]
    publish("\n\n".join(lines), "How long one client waits for the service", arguments.output)


def timed(function: Callable, inputs: list) -> list[float]:
    seconds = []
    for each in inputs:
        start = time.perf_counter()
        function(each)
        seconds.append(time.perf_counter() - start)
    return seconds


def as_form(path: Path) -> tuple[bytes, dict[str, str]]:
    """Encode the body and the headers that upload a file."""
    request = httpx.Request("POST", "http://service", files={"image": path.read_bytes()})
    return request.read(), {"Content-Type": request.headers["Content-Type"]}


def post(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> None:
    connection.request("POST", "/api/search", body, headers)
    check(connection)


def get(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    check(connection)


def check(connection: http.client.HTTPConnection) -> None:
    response = connection.getresponse()
    if response.status != 200:
        sys.exit(f"error: {response.status}: {response.read().decode()}")
    response.read()


if __name__ == "__main__":
    run_command(main)
