"""The frozen backbone as the pipeline runs it: a folder that holds all it takes to turn pixels into features.

Indexing and queries load the same folder, with OpenVINO and without importing TensorFlow.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from similarity.data.features.graphs import Engine, convert, load_engines, openvino_core, save_graph
from similarity.data.features.networks import FINAL_TAP, Backbone, load_backbone
from similarity.data.parallel import ordered_map
from similarity.errors import UserError

if TYPE_CHECKING:
    import openvino as ov

MIN_AGREEMENT = {"openvino": 0.9999, "openvino_bf16": 0.95, "keras": 0.9999}
"""The cosine to the same features by another machine or engine below which they are not the same, by engine."""

_DESCRIPTION = "backbone.json"
_GRAPH = "graph.xml"
_WEIGHTS = "backbone.weights.h5"


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
            black = np.zeros((size - rest, *pixels.shape[1:]), np.float32)
            parts.append(engine(np.concatenate([pixels[start:], black]))[:rest])
        return np.concatenate(parts)

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Map blocks of pixels to their features, in their order, while the next blocks are made."""
        return ordered_map(self, blocks, ahead=os.cpu_count() or 1)


def save_extractor(folder: Path, backbone: "Backbone | ov.Model", name: str, engine: str, taps: Sequence[str]) -> None:
    """Write a backbone into an existing folder.

    Args:
        folder: to write to.
        backbone: from Keras, or the graph of an ONNX file.
        name, taps: to keep with it, as `load_backbone` takes them.
        engine: what is to run it: ``openvino``, ``openvino_bf16`` or, if it is from Keras, ``keras``.

    Raises:
        UserError: this processor does not compute as the engine is to.
    """
    if engine == "openvino_bf16" and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("params.yaml: backbone.engine: this processor does not compute in bf16: set it to openvino")
    if not isinstance(backbone, Backbone):
        image_size = backbone.input().partial_shape[1].get_length()
        tap_features = {FINAL_TAP: backbone.output().partial_shape[1].get_length()}
        save_graph(backbone, folder / _GRAPH)
    else:
        image_size, tap_features = backbone.image_size, backbone.tap_features
        if engine == "keras":
            backbone.network.save_weights(folder / _WEIGHTS)
        else:
            save_graph(convert(backbone), folder / _GRAPH)
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
    """
    description = describe(folder)
    engine = description["engine"]
    if engine != "keras":
        return Extractor(description, load_engines(folder / _GRAPH, engine, batch_sizes, throughput, threads))
    from similarity.data.quiet import prepare_tensorflow

    prepare_tensorflow()
    backbone, lock = load_keras_backbone(folder), Lock()

    def compute(pixels: np.ndarray) -> np.ndarray:
        with lock:
            return backbone.predict(pixels)

    return Extractor(description, dict.fromkeys(batch_sizes, compute))


def load_keras_backbone(folder: Path, weights: str = "") -> Backbone:
    """Build in Keras what `save_extractor` wrote, with `weights`, as `load_backbone` takes them, if that is a graph."""
    description = describe(folder)
    source = str(folder / _WEIGHTS) if description["engine"] == "keras" else weights
    return load_backbone(description["name"], source, description["image_size"], description["taps"])


def describe(folder: Path) -> dict[str, Any]:
    """Read the `description` of the extractor in a folder."""
    return orjson.loads((folder / _DESCRIPTION).read_bytes())


def tapped_columns(folder: Path, taps: Sequence[str]) -> np.ndarray:
    """Find the columns of the features that come from some of the taps, or from all: int64 (d,), ascending.

    Raises:
        UserError: the folder was made with other taps.
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
