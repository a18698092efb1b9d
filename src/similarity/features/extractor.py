"""The frozen backbone as the pipeline runs it: a folder that holds all it takes to turn pixels into features.

Indexing and queries load the same folder, with OpenVINO and without importing TensorFlow.
"""

import errno
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from similarity.errors import UserError
from similarity.features.graphs import Engine, convert, load_engines, openvino_core, save_graph
from similarity.features.networks import FINAL_TAP, Backbone, load_backbone

if TYPE_CHECKING:
    import keras
    import openvino as ov

MIN_AGREEMENT = {"openvino": 0.9999, "openvino_bf16": 0.95, "keras": 0.9999}
"""The cosine to the same features by another machine or engine below which they are not the same, by engine."""

_DESCRIPTION = "backbone.json"
_GRAPH = "graph.xml"
_WEIGHTS = "backbone.weights.h5"
_HDF5_ROOM = 4 << 20  # bytes that its file takes in addition to the numbers, at most


class Extractor:
    """Maps the pixels of any number of images to their features, in batches of a few fixed shapes.

    With OpenVINO, fixed shapes make an image's features independent of the batch that it happens to be in. Threads may
    share it.

    Attributes:
        description: of the backbone: name, engine, image_size, taps, tap_features and features (D).
        image_size: side of the square images, in pixels.
        features: features per image, D.
        min_agreement: the `MIN_AGREEMENT` of the engine.
    """

    def __init__(self, description: dict[str, Any], engines: dict[int, Engine]) -> None:
        self.description = description
        self.image_size: int = description["image_size"]
        self.features: int = description["features"]
        self.min_agreement = MIN_AGREEMENT[description["engine"]]
        self._engines = sorted(engines.items(), reverse=True)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Map RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D)."""
        parts, start = [np.empty((0, self.features), np.float32)], 0
        for size, engine in self._engines:
            while len(pixels) - start >= size:
                parts.append(engine(pixels[start : start + size]))
                start += size
        if rest := len(pixels) - start:
            size, engine = self._engines[-1]
            parts.append(engine(_filled(pixels[start:], size))[:rest])
        return np.concatenate(parts)

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Map blocks of pixels, each at most as large as the largest batch, to their features, in the same order.

        While features are waited for, the next blocks are worked on.
        """
        counts: deque[int] = deque()
        size, engine = self._engines[0]

        def batches() -> Iterator[np.ndarray]:
            for block in blocks:
                counts.append(len(block))
                yield _filled(block, size)

        for features in engine.stream(batches()):
            yield features[: counts.popleft()]


def _filled(pixels: np.ndarray, size: int) -> np.ndarray:
    """Fill up the pixels of at most `size` images with black ones."""
    if len(pixels) == size:
        return pixels
    return np.concatenate([pixels, np.zeros((size - len(pixels), *pixels.shape[1:]), np.float32)])


def save_extractor(folder: Path, backbone: "Backbone | ov.Model", name: str, engine: str, taps: Sequence[str]) -> None:
    """Write a backbone into an existing folder.

    Args:
        folder: to write to.
        backbone: from Keras, or the graph of an ONNX file.
        name: to keep with it, as `load_backbone` takes it.
        engine: what is to run it: ``openvino``, ``openvino_bf16`` or, if it is from Keras, ``keras``.
        taps: to keep with it, as `load_backbone` takes them.

    Raises:
        UserError: this processor does not compute as the engine is to.
        OSError: the files cannot be written.
    """
    if engine == "openvino_bf16" and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("params.yaml: backbone.engine: this processor does not compute in bf16: set it to openvino")
    if isinstance(backbone, Backbone):
        image_size, tap_features = backbone.image_size, backbone.tap_features
    else:
        image_size = backbone.input().partial_shape[1].get_length()
        tap_features = {FINAL_TAP: backbone.output().partial_shape[1].get_length()}
    if engine == "keras":
        _save_weights(backbone.network, folder / _WEIGHTS)
    else:
        save_graph(convert(backbone) if isinstance(backbone, Backbone) else backbone, folder / _GRAPH)
    description = {"name": name, "engine": engine, "image_size": image_size, "taps": taps, "tap_features": tap_features}
    description["features"] = sum(tap_features.values())
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / _DESCRIPTION).write_bytes(orjson.dumps(description, option=options))


def load_extractor(
    folder: Path, batch_sizes: Sequence[int], throughput: bool = False, threads: int | None = None
) -> Extractor:
    """Load what `save_extractor` wrote.

    Args:
        folder: where it is.
        batch_sizes: the shapes to run in; fewer images than the smallest are filled up to it.
        throughput: whether to work on several batches at a time, a core or a few for each, so that a stream is
            computed the soonest; else all cores work on one batch. The features are the same.
        threads: that OpenVINO may use, if not as many as there are cores. The features are the same.

    Raises:
        FileNotFoundError: the folder is missing or incomplete.
    """
    description = describe(folder)
    if description["engine"] != "keras":
        return Extractor(
            description, load_engines(folder / _GRAPH, description["engine"], batch_sizes, throughput, threads)
        )
    from similarity.tensorflow_setup import prepare_tensorflow

    prepare_tensorflow()
    backbone = load_keras_backbone(folder)
    return Extractor(description, dict.fromkeys(batch_sizes, Engine(backbone.predict)))


def load_keras_backbone(folder: Path, weights: str = "") -> Backbone:
    """Build in Keras what `save_extractor` wrote.

    Args:
        folder: where it is.
        weights: as `load_backbone` takes them; for a folder that holds a graph.

    Raises:
        FileNotFoundError: the folder is missing or incomplete.
        UserError: the weights are missing or do not fit.
    """
    description = describe(folder)
    source = str(folder / _WEIGHTS) if description["engine"] == "keras" else weights
    return load_backbone(description["name"], source, description["image_size"], description["taps"])


def describe(folder: Path) -> dict[str, Any]:
    """Read the `description` of the extractor in a folder.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    return orjson.loads((folder / _DESCRIPTION).read_bytes())


def tapped_columns(folder: Path, taps: Sequence[str]) -> np.ndarray:
    """Find the columns of the features that come from some of the taps, or from all: int64 (d,), ascending.

    Raises:
        FileNotFoundError: the folder does not hold what `save_extractor` wrote.
        UserError: it was made with other taps.
    """
    features: dict[str, int] = describe(folder)["tap_features"]
    if missing := [tap for tap in taps if tap not in features]:
        raise UserError(f"{folder} has no tap {missing[0]!r}; it has {', '.join(features)}: run `dvc repro`")
    return np.flatnonzero(np.repeat([not taps or tap in taps for tap in features], list(features.values())))


def lowest_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Compare rows of numbers, (n, D), with others; two rows of zeros agree."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    norms, dots = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1), (ours * theirs).sum(axis=1)
    return float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1), theirs.any(1) == ours.any(1)).min())


def _save_weights(network: "keras.Model", path: Path) -> None:
    """Write weights as Keras does, if there is room for them: HDF5 crashes on a full disk."""
    if shutil.disk_usage(path.parent).free < _HDF5_ROOM + sum(weight.nbytes for weight in network.get_weights()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    network.save_weights(path)
