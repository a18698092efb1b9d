"""From image files to the nearest neighbors of each: the pipeline, fastdup, and Keras fed by tf.data.

    dvc exp run -S data.source=FOLDER
    python benchmarks/photographs.py [--fastdup PYTHON] [--rounds 3]

All work on the files in data/images and take turns, each in processes of its own, starts and imports included. Ours are
the stages `scan` to `neighbors`, one after the other, without the caches, with the backbone's stage and without it, as
it runs once for a network and not for each set of images; then on to `audit` with all between. fastdup finds neighbors,
statistics, and outliers by features of a smaller network of its own; PYTHON is an interpreter with fastdup installed,
in an environment of its own since it wants older packages: `python3.11 -m venv fastdup && fastdup/bin/pip install
fastdup==2.54`. Keras runs the pipeline's backbone in batches of 64 on what tf.data decodes and resizes, and faiss
compares all with all.
"""

from pipeline.inputs import load_params

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison import Row, as_table, make_parser, median_seconds, publish, run_command
from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.networks import load_backbone
from similarity.layout import IMAGES, MANIFEST

KERAS_BATCH = 64  # which suits it

PARTS = {
    "backbone": ("backbone",),
    "neighbors": ("scan", "split", "featurize", "train", "embed", "neighbors"),
    "audit": ("ann", "novelty", "baselines", "evaluate", "audit"),
}
WITHOUT_CACHE = {**os.environ, "IMAGE_SIMILARITY_CACHE_GB": "0", "SENTRY_OPT_OUT": "1"}
FASTDUP = """
import sys, fastdup
fastdup.create(work_dir=sys.argv[2], input_dir=sys.argv[1]).run(overwrite=True, print_summary=False)
"""


def main() -> None:
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--fastdup", metavar="PYTHON", help="an interpreter with fastdup")
    parser.add_argument("--keras", action="store_true", help=argparse.SUPPRESS)  # the contender's own process
    arguments = parser.parse_args()
    if arguments.keras:
        return keras_neighbors()
    seconds: dict[str, list[float]] = {name: [] for name in PARTS}
    contenders = {"ours": partial(run_stages, seconds), "keras": partial(run, [sys.executable, __file__, "--keras"])}
    if arguments.fastdup:
        contenders["fastdup"] = partial(run_fastdup, arguments.fastdup)
    peers = median_seconds(contenders, arguments.rounds)
    backbone, neighbors, audit = (statistics.median(values[1:]) for values in seconds.values())
    what = f"{len(read_manifest(MANIFEST).keys):,} images, backbone at {load_params().backbone.image_size} pixels; "
    ours = {
        "files to exact neighbors": neighbors + backbone,
        "files to exact neighbors, but for the backbone's stage": neighbors,
        "files to audit, all stages": backbone + neighbors + audit,
    }
    rows = [
        Row(f"{what}{name}; {peer}", f"{value:.1f} s", f"{peers[peer]:.1f} s", value / peers[peer])
        for peer in list(peers)[1:]
        for name, value in ours.items()
    ]
    publish(as_table(rows), "From image files to neighbors", arguments.output)
    return None


def run_stages(seconds: Mapping[str, list[float]]) -> None:
    for name, stages in PARTS.items():
        start = time.perf_counter()
        for stage in stages:
            run([sys.executable, f"src/{stage}.py"])
        seconds[name].append(time.perf_counter() - start)


def run_fastdup(python: str) -> None:
    with TemporaryDirectory() as folder:
        run([python, "-c", FASTDUP, str(IMAGES), str(Path(folder, "work"))])


def run(command: list[str]) -> None:
    if subprocess.run(command, capture_output=True, env=WITHOUT_CACHE, check=False).returncode:
        sys.exit(f"error: {' '.join(command)} failed")


def keras_neighbors() -> None:
    """Compute features with Keras, and find each image's nearest others with faiss."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    params = load_params()
    backbone, size = params.backbone, params.backbone.image_size
    network = load_backbone(backbone.name, backbone.weights, size, backbone.taps).model
    import faiss
    import tensorflow as tf

    def load(path):  # type: ignore[no-untyped-def]  # traced by TensorFlow, whose tensors are untyped
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(pixels, (size, size), antialias=True)

    files = tf.data.Dataset.from_tensor_slices([str(path) for path in sorted(IMAGES.glob("*/*"))])
    batches = files.map(load, tf.data.AUTOTUNE).batch(KERAS_BATCH).prefetch(tf.data.AUTOTUNE)
    features = network.predict(batches, verbose=0)
    faiss.normalize_L2(features)
    faiss.knn(features, features, params.neighbors.top_k + 1, faiss.METRIC_INNER_PRODUCT)


if __name__ == "__main__":
    run_command(main)
