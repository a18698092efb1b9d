"""The frozen backbone as the pipeline runs it: a folder that holds all it takes to turn pixels into features.

Indexing and queries load the same folder, with OpenVINO and without importing TensorFlow.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from similarity.data.features.networks import Backbone, load_backbone
from similarity.data.parallel import ordered_map
from similarity.data.quiet import prepare_tensorflow
from similarity.errors import UserError

if TYPE_CHECKING:
    import openvino as ov

MIN_AGREEMENT = {"openvino": 0.9999, "openvino_bf16": 0.95, "keras": 0.9999}
"""The cosine to the same features by another machine or engine below which they are not the same, by engine."""
DESCRIPTION, GRAPH, WEIGHTS = "backbone.json", "graph.xml", "backbone.weights.h5"
"""Files of the folder: with OpenVINO, the graph from pixels to features; with Keras, the weights of the network."""

_PRECISIONS = {"openvino": "f32", "openvino_bf16": "bf16"}  # stated, since CPUs with bfloat16 would compute in it


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

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Map blocks of pixels to their features, in their order, while the next blocks are made."""
        return ordered_map(self, blocks, ahead=os.cpu_count() or 1)


def load_extractor(
    folder: Path, batch_sizes: Sequence[int], throughput: bool = False, threads: int | None = None
) -> Extractor:
    """Load what `save_extractor` wrote. The features are the same with all options.

    Args:
        folder: where it is.
        batch_sizes: the shapes to run in; fewer images than the smallest are filled up to it.
        throughput: whether to work on several batches at a time; else all cores work on one.
        threads: that OpenVINO may use, if not as many as there are cores.
    """
    description = describe(folder)
    if description["engine"] == "keras":
        return Extractor(description, dict.fromkeys(batch_sizes, _keras_run(folder)))
    graph = openvino_core().read_model(folder / GRAPH)
    hints: dict[str, str | int | bool] = {
        "ENABLE_CPU_PINNING": False,  # else all processes on a machine would compute on its first cores
        "INFERENCE_PRECISION_HINT": _PRECISIONS[description["engine"]],
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
        **({} if threads is None else {"INFERENCE_NUM_THREADS": threads}),
    }
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
        features = request.infer([pixels])[0].copy()
        free.append(request)
        return features

    return run


@cache
def openvino_core() -> "ov.Core":
    """Make OpenVINO's core once, and keep it until the process ends.

    The CPU plugin ties the thread's stack for signals to the core: after two cores that end in the order in which they
    began, the next signal that Python handles is a segmentation fault.
    """
    import openvino as ov

    # Its NumPy bindings are set up at first use; two threads that do so at the same time wait for each other for ever.
    assert ov.Tensor(np.zeros(1, np.float32)).data.size
    return ov.Core()


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
    """Compare rows of numbers, (n, D), with others; two rows of zeros agree."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    norms, dots = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1), (ours * theirs).sum(axis=1)
    return float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1), theirs.any(1) == ours.any(1)).min())
