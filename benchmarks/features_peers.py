"""From image files to features: the pipeline, Keras' `predict` fed by tf.data, and the bare engine.

    python benchmarks/features_peers.py [--images 4000] [--rounds 5]

The images are some of data/images. Keras runs the same backbone in float32 and batches of 64, which suit it; tf.data
decodes, resizes and scales with TensorFlow's own operations, in as many threads as it likes. The limit is the engine
fed with pixels from memory. Each contender has a process of its own and all cores, and they take turns; the figures are
medians over the rounds. The features of all images are compared with those of Keras on the same pixels.
"""

from pipeline.inputs import load_params

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from comparison import Row, as_table, make_parser, median_seconds, publish, run_command, worker
from similarity.data.dataset.manifest import ImageRecord, read_manifest
from similarity.data.features.computing import load_pixels
from similarity.data.features.extractor import Extractor, load_extractor
from similarity.data.features.networks import Backbone, load_backbone
from similarity.data.parallel import ordered_map
from similarity.layout import BACKBONE, IMAGES, MANIFEST

KERAS_BATCH, BATCHES_AHEAD = 64, 4
OURS, KERAS, ENGINE = "ours", "Keras predict, tf.data", "engine, from memory"


def main() -> None:
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=4000, help="evenly chosen (default: 4000)")
    arguments = parser.parse_args()
    count = len(choose(arguments.images))
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker()) for name in CONTENDERS}
        lowest = workers[KERAS].submit(lowest_cosine, arguments.images).result()
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
    """Choose images of the manifest evenly."""
    records = read_manifest(MANIFEST).records
    return [records[i] for i in np.unique(np.linspace(0, len(records) - 1, count).astype(int))]


def run(name: str, count: int) -> None:
    """In the worker: let a contender compute all features."""
    prepared(name, count)()


@cache
def prepared(name: str, count: int) -> Callable[[], object]:
    return CONTENDERS[name](choose(count))


def ours(records: list[ImageRecord]) -> Callable[[], object]:
    extractor, batch_size = open_extractor()
    return lambda: deque(our_batches(records, extractor, batch_size), maxlen=0)


def open_extractor() -> tuple[Extractor, int]:
    """Load the backbone as `featurize` does; also return its batch size."""
    batch_size = load_params().backbone.batch_size
    return load_extractor(BACKBONE, (batch_size,), throughput=True), batch_size


def our_batches(records: list[ImageRecord], extractor: Extractor, batch_size: int) -> Iterator[np.ndarray]:
    """Compute the features of some images, in blocks of float32 (n, D), as the pipeline does, but for the loading."""
    batches = [records[start : start + batch_size] for start in range(0, len(records), batch_size)]
    load = partial(all_pixels, size=extractor.image_size)
    return extractor.stream(ordered_map(load, batches, ahead=BATCHES_AHEAD * (os.cpu_count() or 1)))


def engine_from_memory(records: list[ImageRecord]) -> Callable[[], object]:
    extractor, batch_size = open_extractor()
    pixels = all_pixels(records, extractor.image_size)
    batches = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
    return lambda: deque(extractor.stream(batches), maxlen=0)


def keras_and_tf_data(records: list[ImageRecord]) -> Callable[[], object]:
    return predict_files([IMAGES / record.path for record in records])


def predict_files(paths: Sequence[Path]) -> Callable[[], Any]:
    """Prepare Keras' `predict` of the backbone's features, float32 (n, D), from image files by tf.data."""
    backbone, size = load_keras(), load_params().backbone.image_size
    import tensorflow as tf

    def load(path):  # type: ignore[no-untyped-def]  # traced by TensorFlow, whose tensors are untyped
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(pixels, (size, size), antialias=True)

    files = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
    batches = files.map(load, tf.data.AUTOTUNE).batch(KERAS_BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: backbone.model.predict(batches, verbose=0)


@cache
def load_keras() -> Backbone:
    """Load the backbone of params.yaml, without the determinism that the pipeline asks for: it might slow tf.data."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    params = load_params().backbone
    return load_backbone(params.name, params.weights, params.image_size, params.taps)


def lowest_cosine(count: int) -> float:
    """In the worker: return the lowest cosine between our features of an image and Keras' on the same pixels."""
    records, batch_size, backbone = choose(count), load_params().backbone.batch_size, load_keras()
    extractor = load_extractor(BACKBONE, (batch_size,))
    features = np.concatenate(list(our_batches(records, extractor, batch_size)))
    pixels = all_pixels(records, extractor.image_size)
    theirs = backbone.model.predict(pixels, batch_size=batch_size, verbose=0)
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((np.einsum("ij,ij->i", features, theirs, dtype=np.float64) / norms).min())


def all_pixels(records: list[ImageRecord], size: int) -> np.ndarray:
    """Load the pixels of some images as the extractor wants them, float32 (n, size, size, 3)."""
    return np.stack([load_pixels(IMAGES / record.path, size, record.sha256) for record in records])


CONTENDERS: dict[str, Callable[[list[ImageRecord]], Callable[[], object]]] = {
    OURS: ours,
    KERAS: keras_and_tf_data,
    ENGINE: engine_from_memory,
}


if __name__ == "__main__":
    run_command(main)
