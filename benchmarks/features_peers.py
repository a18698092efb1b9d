"""From image files to features: the pipeline beside Keras' `predict` fed by tf.data, and beside the bare engine.

    python benchmarks/features_peers.py [--images 4000] [--rounds 5]

The images are some of data/images. Keras runs the same backbone in float32 and batches of 64, which suit it; tf.data
decodes, resizes and scales with TensorFlow's own operations, in as many threads as it likes. The limit is the engine
fed with pixels from memory. Each contender has a process of its own and all cores, and they take turns; the figures are
medians over the rounds. The features of all images are compared with those of Keras on the same pixels.
"""

import argparse
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial

import numpy as np

from comparison import Row, add_output, as_table, median_seconds, publish, worker

sys.path.insert(0, "src")

from pipeline.stage import run_command

from similarity.dataset.manifest import ImageRecord, read_manifest
from similarity.features.computing import compute_features, load_pixels
from similarity.features.extractor import load_extractor, lowest_cosine
from similarity.features.networks import Backbone, load_backbone
from similarity.layout import BACKBONE, IMAGES, MANIFEST
from similarity.params import load_params

KERAS_BATCH = 64
OURS, KERAS, ENGINE = "ours", "Keras predict, tf.data", "engine, from memory"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000, help="evenly chosen (default: 4000)")
    parser.add_argument("--rounds", type=int, default=5, help="that count; one more does not")
    add_output(parser)
    arguments = parser.parse_args()
    count = len(choose(arguments.images))
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker()) for name in CONTENDERS}
        lowest = workers[KERAS].submit(cosine_to_keras, arguments.images).result()
        contenders = {
            name: partial(lambda name: workers[name].submit(run, name, arguments.images).result(), name)
            for name in CONTENDERS
        }
        seconds = median_seconds(contenders, arguments.rounds)
    rates = {name: count / value for name, value in seconds.items()}
    ours, keras, engine = (f"{rates[name]:.0f}/s" for name in (OURS, KERAS, ENGINE))
    what = f"features of {count:,} image files"
    rows = [
        Row(f"{what}, {KERAS}", ours, keras, rates[OURS] / rates[KERAS], engine),
        Row(f"{what}, {ENGINE}", ours, engine, rates[OURS] / rates[ENGINE], engine),
        Row(f"{what}, lowest cosine to Keras", f"{lowest:.6f}", "1", lowest),
    ]
    publish(as_table(rows), "Features of image files", arguments.output)


@cache
def choose(count: int) -> list[ImageRecord]:
    """Evenly chosen images of the manifest."""
    records = read_manifest(MANIFEST).records
    return [records[i] for i in np.unique(np.linspace(0, len(records) - 1, count).astype(int))]


def run(name: str, count: int) -> None:
    """In the worker: lets a contender compute all features."""
    prepared(name, count)()


@cache
def prepared(name: str, count: int) -> Callable[[], object]:
    return CONTENDERS[name](choose(count))


def ours(records: list[ImageRecord]) -> Callable[[], object]:
    return lambda: deque(our_batches(records), maxlen=0)


def our_batches(records: list[ImageRecord]) -> Iterator[np.ndarray]:
    """The features of some images, in blocks of float32 (n, D), as the pipeline computes them."""
    paths, digests = [IMAGES / record.path for record in records], [record.sha256 for record in records]
    return compute_features(paths, digests, BACKBONE, load_params().backbone.batch_size)


def engine_from_memory(records: list[ImageRecord]) -> Callable[[], object]:
    batch_size = load_params().backbone.batch_size
    extractor = load_extractor(BACKBONE, (batch_size,), throughput=True)
    pixels = all_pixels(records, extractor.image_size)
    batches = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
    return lambda: deque(extractor.stream(batches), maxlen=0)


def keras_and_tf_data(records: list[ImageRecord]) -> Callable[[], object]:
    backbone = load_keras()
    import tensorflow as tf

    size = load_params().backbone.image_size

    def load(path):  # type: ignore[no-untyped-def]  # traced by TensorFlow, whose tensors are untyped
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(pixels, (size, size), antialias=True)

    paths = [str(IMAGES / record.path) for record in records]
    files = tf.data.Dataset.from_tensor_slices(paths)
    batches = files.map(load, tf.data.AUTOTUNE).batch(KERAS_BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: backbone.model.predict(batches, verbose=0)


@cache
def load_keras() -> Backbone:
    """The backbone of params.yaml, without the determinism that the pipeline asks for: it might slow tf.data down."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    params = load_params().backbone
    return load_backbone(params.name, params.weights, params.image_size, params.taps)


def cosine_to_keras(count: int) -> float:
    """In the worker: the lowest cosine, over all images, between our features and Keras' on the same pixels."""
    records, params, backbone = choose(count), load_params().backbone, load_keras()
    pixels = all_pixels(records, params.image_size)
    theirs = backbone.model.predict(pixels, batch_size=params.batch_size, verbose=0)
    return lowest_cosine(np.concatenate(list(our_batches(records))), theirs)


def all_pixels(records: list[ImageRecord], size: int) -> np.ndarray:
    """The pixels of some images as the extractor wants them, float32 (n, size, size, 3)."""
    return np.stack([load_pixels(IMAGES / record.path, size) for record in records])


CONTENDERS: dict[str, Callable[[list[ImageRecord]], Callable[[], object]]] = {
    OURS: ours,
    KERAS: keras_and_tf_data,
    ENGINE: engine_from_memory,
}


if __name__ == "__main__":
    run_command(main)
