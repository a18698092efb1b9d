"""The frozen backbone as the pipeline runs it: a folder that holds all it takes to turn pixels into features.

Indexing and queries load the same folder, with OpenVINO and without importing TensorFlow.
"""

import errno
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from similarity.data.features.networks import FINAL_TAP, Backbone, load_backbone
from similarity.data.quiet import openvino_core, prepare_tensorflow
from similarity.data.vectors import normalize
from similarity.errors import UserError

if TYPE_CHECKING:
    import openvino as ov

MIN_AGREEMENT = {"openvino": 0.9999, "openvino_bf16": 0.95, "keras": 0.9999}
"""The cosine to the same features by another machine or engine below which they are not the same, by engine."""
DESCRIPTION, GRAPH, WEIGHTS = "backbone.json", "graph.xml", "backbone.weights.h5"
"""Files of the folder: with OpenVINO, the graph from pixels to features; with Keras, the weights of the network."""
HINTS: dict[str, str | int | bool] = {
    "ENABLE_CPU_PINNING": False,  # else all processes on a machine would compute on its first cores
    "INFERENCE_PRECISION_HINT": "f32",  # stated, since processors with bfloat16 would compute in it
    "PERFORMANCE_HINT": "LATENCY",
}


def save_extractor(folder: Path, backbone: "Backbone | ov.Model", name: str, engine: str, taps: Sequence[str]) -> None:
    """Write a backbone from `load_backbone`, or one from `read_onnx`, into an existing folder.

    Its name and taps are kept with it, as `load_backbone` takes them, and the engine that is to run it. One from ONNX
    does not run in ``keras``. Raise a `UserError` if this processor does not compute as the engine is to.
    """
    if engine == "openvino_bf16" and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("params.yaml: backbone.engine: this processor does not compute in bf16: set it to openvino")
    if isinstance(backbone, Backbone):
        image_size, tap_features = backbone.model.input_shape[1], backbone.tap_features
    else:
        image_size = backbone.input().partial_shape[1].get_length()
        tap_features = {FINAL_TAP: backbone.output().partial_shape[1].get_length()}
    if isinstance(backbone, Backbone) and engine == "keras":
        backbone.network.save_weights(folder / WEIGHTS)
    else:
        _save_graph(_convert(backbone) if isinstance(backbone, Backbone) else backbone, folder / GRAPH)
    description = {"name": name, "engine": engine, "image_size": image_size, "taps": taps, "tap_features": tap_features}
    description["features"] = sum(tap_features.values())
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / DESCRIPTION).write_bytes(orjson.dumps(description, option=options))


def _save_graph(graph: "ov.Model", path: Path) -> None:
    """Write a graph in OpenVINO's format, ``.xml`` and ``.bin``, with the same bytes each time it is made."""
    import openvino as ov

    graph = ov.Model(graph.get_results(), graph.get_parameters(), "backbone")  # without remarks on the conversion
    for number, node in enumerate(graph.get_ordered_ops()):  # Keras numbers its names on with every model it makes
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
        for output in node.outputs():
            output.get_tensor().set_names(set())
    try:
        ov.save_model(graph, path, compress_to_fp16=False)
    except RuntimeError as error:  # it does not say why
        raise OSError(errno.EIO, f"the network cannot be written: is the disk full? OpenVINO says: {error}") from error


def _convert(backbone: Backbone) -> "ov.Model":
    import openvino as ov
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    pixels = tf.TensorSpec(backbone.model.input_shape, tf.float32)
    run = tf.function(partial(backbone.model, training=False)).get_concrete_function(pixels)
    # By way of a file: with Python 3.13, OpenVINO fails to convert what is in memory.
    with TemporaryDirectory(prefix="backbone-") as folder:
        path = tf.io.write_graph(convert_variables_to_constants_v2(run).graph, folder, "frozen.pb", as_text=False)
        return ov.convert_model(path, input=[-1, *pixels.shape[1:]])


class Extractor:
    """Maps the pixels of any number of images to their features, in batches of a few fixed shapes.

    With OpenVINO, fixed shapes make an image's features independent of the batch that it happens to be in. Threads may
    share it.
    """

    def __init__(self, description: dict[str, Any], runs: Mapping[int, Callable[[np.ndarray], np.ndarray]]) -> None:
        """Take what runs batches of each size, in any thread."""
        self.description = description  # name, engine, image_size, taps, tap_features and features of the backbone
        self.image_size: int = description["image_size"]  # side of the square images, in pixels
        self.features: int = description["features"]  # per image, D
        self.min_agreement = MIN_AGREEMENT[description["engine"]]
        self._runs = sorted(runs.items(), reverse=True)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Map RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D)."""
        parts, start = [np.empty((0, self.features), np.float32)], 0
        for size, run in self._runs:
            while len(pixels) - start >= size:
                parts.append(run(pixels[start : start + size]))
                start += size
        if rest := len(pixels) - start:
            size, run = self._runs[-1]
            black = np.zeros((size - rest, *pixels.shape[1:]), np.float32)
            parts.append(run(np.concatenate([pixels[start:], black]))[:rest])
        return np.concatenate(parts)


def load_extractor(folder: Path, batch_sizes: Sequence[int], throughput: bool = False, threads: int = 0) -> Extractor:
    """Load what `save_extractor` wrote. The features are the same with all options.

    Args:
        folder: where it is.
        batch_sizes: the shapes to run in; fewer images than the smallest are filled up to it.
        throughput: whether to work on several batches at a time; else all cores work on one.
        threads: that OpenVINO may use; 0 is as many as there are cores.
    """
    description = describe(folder)
    if description["engine"] == "keras":
        return Extractor(description, dict.fromkeys(batch_sizes, _keras_run(folder)))
    graph = openvino_core().read_model(folder / GRAPH)
    hints = {**HINTS, "INFERENCE_NUM_THREADS": threads}
    if description["engine"] == "openvino_bf16":
        hints["INFERENCE_PRECISION_HINT"] = "bf16"
    if throughput:
        hints["PERFORMANCE_HINT"] = "THROUGHPUT"
    runs = {}
    for size in batch_sizes:
        graph.reshape([size, *graph.inputs[0].partial_shape[1:]])
        runs[size] = _openvino_run(openvino_core().compile_model(graph, "CPU", hints))
    return Extractor(description, runs)


def _keras_run(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    prepare_tensorflow()
    backbone, lock = load_keras_backbone(folder), Lock()

    def run(pixels: np.ndarray) -> np.ndarray:
        with lock:
            return backbone.predict(pixels)

    return run


def _openvino_run(graph: "ov.CompiledModel") -> Callable[[np.ndarray], np.ndarray]:
    free = deque["ov.InferRequest"]()  # threads share the graph, but not a request

    def run(pixels: np.ndarray) -> np.ndarray:
        try:
            request = free.pop()
        except IndexError:
            request = graph.create_infer_request()
        features = request.infer([pixels])[0]
        free.append(request)
        return features

    return run


def load_keras_backbone(folder: Path, weights: str = "") -> Backbone:
    """Build in Keras what `save_extractor` wrote, with `weights`, as `load_backbone` takes them, if that is a graph."""
    description = describe(folder)
    source = str(folder / WEIGHTS) if description["engine"] == "keras" else weights
    return load_backbone(description["name"], source, description["image_size"], description["taps"])


def describe(folder: Path) -> dict[str, Any]:
    """Read the `description` of the extractor in a folder."""
    return orjson.loads((folder / DESCRIPTION).read_bytes())


def tapped_columns(folder: Path, taps: Sequence[str]) -> np.ndarray:
    """Find the columns of the features that come from some of the folder's taps, or from all: int64 (d,), ascending."""
    features: dict[str, int] = describe(folder)["tap_features"]
    if missing := [tap for tap in taps if tap not in features]:
        raise UserError(f"{folder} has no tap {missing[0]!r}; it has {', '.join(features)}: run `dvc repro`")
    return np.flatnonzero(np.repeat([not taps or tap in taps for tap in features], list(features.values())))


def lowest_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Find the lowest cosine of rows of numbers, float32 (n, D), to others; that of a row of zeros is 0."""
    return float((normalize(ours) * normalize(theirs)).sum(axis=1, dtype=np.float64).min())
