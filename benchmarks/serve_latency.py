"""How long one client waits for the search service, beside a bare forward pass of the backbone.

    python benchmarks/serve_latency.py [--rounds 10] [--output FILE]

Both take turns on the same images, on keep-alive connections over loopback; the table has medians over all rounds.
"""

import argparse
import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np

from comparison import add_output, publish
from running_service import running_service

sys.path.insert(0, "src")


from serve import limits_of, open_catalog
from service.forms import SearchOptions
from service.options import parse_arguments
from similarity.dataset.manifest import read_manifest
from similarity.engine.results import Query
from similarity.features.computing import load_pixels
from similarity.features.extractor import load_extractor
from similarity.features.networks import load_backbone
from similarity.images.decoding import read_image
from similarity.layout import BACKBONE, IMAGES, MANIFEST
from similarity.params import load_params
from similarity.tensorflow_setup import prepare_tensorflow

PER_ROUND = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    add_output(parser)
    arguments = parser.parse_args()
    keys = read_manifest(MANIFEST).keys
    chosen = [keys[i] for i in np.linspace(0, len(keys) - 1, PER_ROUND).astype(int)]
    forward = load_extractor(BACKBONE, (1,))
    pixels = [load_pixels(IMAGES / key, forward.image_size)[None] for key in chosen]
    with running_service() as (address, _):
        connection = http.client.HTTPConnection(address)
        uploads = [as_form(IMAGES / key) for key in chosen]
        contents = [(IMAGES / key).read_bytes() for key in chosen]
        times: dict[str, list[float]] = {"forward": [], "decode": [], "upload": [], "key": [], "health": []}
        for _ in range(arguments.rounds):
            times["forward"] += timed(forward, pixels)
            times["decode"] += timed(lambda content: read_image(content, forward.image_size), contents)
            times["upload"] += timed(lambda form: post(connection, *form), uploads)
            times["key"] += timed(lambda key: get(connection, f"/api/similar?key={quote(key)}"), chosen)
            times["health"] += timed(lambda _: get(connection, "/healthz"), chosen)
    median = {name: 1000 * float(np.median(values)) for name, values in times.items()}
    lines = [
        f"{len(keys):,} images, medians of {len(times['upload'])} requests each, one client\n",
        "| | ms |\n|---|--:|",
        f"| bare forward pass of the backbone for one image, Keras | {keras_forward(pixels):.2f} |",
        f"| the same, OpenVINO | {median['forward']:.2f} |",
        f"| decoding at the scale that is needed | {median['decode']:.2f} |",
        f"| decode, resize, embed and search, called directly | {direct_search(chosen):.2f} |",
        f"| image never seen, uploaded | {median['upload']:.2f} |",
        f"| indexed image, by key | {median['key']:.2f} |",
        f"| request that does nothing | {median['health']:.2f} |",
        f"\nuploaded / (forward pass + decoding): {median['upload'] / (median['forward'] + median['decode']):.2f}",
    ]
    publish("\n".join(lines), "How long one client waits for the service", arguments.output)


def keras_forward(pixels: list[np.ndarray]) -> float:
    """Milliseconds of the same network in Keras, after the service is gone."""
    params = load_params().backbone
    prepare_tensorflow()
    backbone = load_backbone(params.name, params.weights, params.image_size, params.taps)
    timed(backbone.predict, pixels)
    return 1000 * float(np.median(timed(backbone.predict, pixels)))


def direct_search(keys: list[str]) -> float:
    """Milliseconds of the service's own work for an upload, without HTTP."""
    catalog, options = open_catalog(limits_of(parse_arguments([])), None), SearchOptions()
    contents = [(IMAGES / key).read_bytes() for key in keys]
    return 1000 * float(
        np.median(timed(lambda content: catalog.search(Query("upload", images=(content,)), options), contents * 5))
    )


def timed(function: Callable, inputs: list) -> list[float]:
    seconds = []
    for each in inputs:
        start = time.perf_counter()
        function(each)
        seconds.append(time.perf_counter() - start)
    return seconds


def as_form(path: Path) -> tuple[bytes, dict[str, str]]:
    """The body and the headers that upload a file."""
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
    main()
