"""The frozen backbone as the pipeline runs it: a folder that holds all it takes to turn pixels into features.

Indexing and queries load the same folder, with OpenVINO without importing TensorFlow, and check on pictures stored in
it that this machine computes what the network gave when the folder was made.
"""

import errno
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import orjson

from similarity.digests import digest_file
from similarity.errors import UserError
from similarity.features.lite_backbone import LiteBackbone
from similarity.features.networks import Backbone, Preprocess, load_backbone
from similarity.features.onnx_backbone import OnnxBackbone
from similarity.features.openvino_core import openvino_core

if TYPE_CHECKING:
    import keras
    import openvino as ov

MIN_AGREEMENT = {"f32": 0.9999, "bf16": 0.95}
"""The cosine to the same features by another machine or engine, below which they are not the same, by precision."""

_DESCRIPTION = "backbone.json"
_GRAPH = "graph.xml"
_WEIGHTS = "backbone.weights.h5"
_HDF5_ROOM = 4 << 20  # bytes that its file takes beside the numbers, at most
_CHECK_PIXELS, _CHECK_FEATURES = "check_pixels.npy", "check_features.npy"


class Engine(Protocol):
    """What computes the features of batches of one size: pixels, float32 (b, size, size, 3), to float32 (b, D)."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Computes those of one batch."""

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Computes those of many batches, in their order, several at a time if the engine can."""


class Extractor:
    """Maps the pixels of any number of images to their features, in batches of a few fixed shapes.

    With OpenVINO, fixed shapes make an image's features independent of the batch that it happens to be in. One call or
    stream at a time: not to be shared by threads.

    Attributes:
        description: of the backbone: name, format (keras or onnx), engine, precision, image_size, taps, features (D)
            and tap_features.
        image_size: side of the square images, in pixels.
        features: features per image, D.
        min_agreement: the one of `MIN_AGREEMENT` that holds.
    """

    def __init__(self, description: dict[str, Any], engines: dict[int, Engine]) -> None:
        self.description = description
        self.image_size: int = description["image_size"]
        self.features: int = description["features"]
        self.min_agreement = MIN_AGREEMENT[description["precision"]]
        self._engines = sorted(engines.items(), reverse=True)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Maps RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D)."""
        parts, start = [np.empty((0, self.features), np.float32)], 0
        for size, engine in self._engines:
            while len(pixels) - start >= size:
                parts.append(engine(pixels[start : start + size]))
                start += size
        if rest := len(pixels) - start:
            size, engine = self._engines[-1]
            parts.append(engine(_filled(pixels[start:], size))[:rest])
        return np.concatenate(parts) if len(parts) > 2 else parts[-1]

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Maps blocks of pixels, each as in a call and at most of the largest batch, to theirs, in their order.

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
    """Pixels of up to `size` images, and black ones up to that many."""
    if len(pixels) == size:
        return pixels
    return np.concatenate([pixels, np.zeros((size - len(pixels), *pixels.shape[1:]), np.float32)])


def save_extractor(
    folder: Path,
    backbone: Backbone | LiteBackbone | OnnxBackbone,
    engine: str,
    pictures: np.ndarray,
    description: dict[str, Any],
) -> float:
    """Writes a backbone into an existing folder.

    Args:
        folder: where to.
        backbone: what to write.
        engine: ``openvino`` or, of a backbone in Keras, ``keras``, which is to run it.
        pictures: a few images that every machine is to be checked with, uint8 (n, size, size, 3).
        description: more to tell of the backbone: `name` and `taps` as `load_backbone` takes them, and `precision`,
            ``f32`` or ``bf16``, that OpenVINO is to compute in.

    Returns:
        The lowest cosine, over the pictures, between the features by what was written and those by `backbone`.

    Raises:
        UserError: it is below `MIN_AGREEMENT`, or this processor has no such precision.
        OSError: the files cannot be written.
    """
    _check_precision(description["precision"])
    if engine == "openvino":
        _save_graph(backbone, folder / _GRAPH)
    else:
        assert isinstance(backbone, Backbone)
        _save_weights(backbone.network, folder / _WEIGHTS)
    facts = {**description, "engine": engine, "image_size": backbone.image_size, "features": backbone.features}
    facts["format"] = "onnx" if isinstance(backbone, OnnxBackbone) else "keras"
    facts["tap_features"] = backbone.tap_features
    (folder / _DESCRIPTION).write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    np.save(folder / _CHECK_PIXELS, pictures)
    np.save(folder / _CHECK_FEATURES, backbone.predict(pictures.astype(np.float32)))
    return agreement(folder, load_extractor(folder, (len(pictures),)))


def load_extractor(
    folder: Path, batch_sizes: Sequence[int], throughput: bool = False, threads: int | None = None
) -> Extractor:
    """Loads what `save_extractor` wrote and checks that it computes the same on this machine.

    Args:
        folder: where it is.
        batch_sizes: the shapes to run in; fewer images than the smallest are filled up to it.
        throughput: whether to work on several batches at a time, a core or a few for each, so that a stream is
            computed the soonest; else all cores work on one batch. The features are the same.
        threads: that OpenVINO may use, if not as many as there are cores. The features are the same.

    Raises:
        FileNotFoundError: the folder is missing or incomplete.
        UserError: this machine's features of the stored pictures agree with those stored to less than `MIN_AGREEMENT`.
    """
    description = describe(folder)
    if description["engine"] == "openvino":
        engines = load_engines(folder / _GRAPH, batch_sizes, description["precision"], throughput, threads)
    else:
        engines = _load_keras(folder / _WEIGHTS, description, batch_sizes)
    extractor = Extractor(description, engines)
    if not (worst := agreement(folder, extractor)) >= extractor.min_agreement:
        way_out = {
            "keras": "set backbone.engine to keras in params.yaml, run `dvc repro`",
            "onnx": "run `dvc repro --force backbone` on this machine",
        }[description["format"]]
        raise UserError(
            f"{folder}: {description['engine']} disagrees on this machine with the network as it was saved (cosine "
            f"{worst:.4f}; at least {extractor.min_agreement} is needed): {way_out}, and please report this"
        )
    return extractor


def describe(folder: Path) -> dict[str, Any]:
    """The `description` of the extractor that a folder holds.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    return orjson.loads((folder / _DESCRIPTION).read_bytes())


def keras_weights(folder: Path) -> Path | None:
    """The weights in the folder of an extractor that runs in Keras; those for another engine are in its graph."""
    path = folder / _WEIGHTS
    return path if path.exists() else None


def backbone_digest(folder: Path) -> str:
    """The SHA-256 of all that `save_extractor` wrote into a folder, whatever else is in it.

    Raises:
        FileNotFoundError: the folder holds no backbone.
    """
    (folder / _DESCRIPTION).stat()
    names = (_CHECK_FEATURES, _CHECK_PIXELS, _DESCRIPTION, _GRAPH, Path(_GRAPH).with_suffix(".bin").name, _WEIGHTS)
    digests = [digest_file(folder / name) for name in names if (folder / name).exists()]
    return sha256(" ".join(digests).encode()).hexdigest()


def tapped_columns(folder: Path, taps: Sequence[str]) -> np.ndarray:
    """The columns of the features that come from some of the taps, or from all if none is given: int64 (d,), ascending.

    Raises:
        FileNotFoundError: the folder does not hold what `save_extractor` wrote.
        UserError: it was made with other taps.
    """
    features: dict[str, int] = describe(folder)["tap_features"]
    if missing := [tap for tap in taps if tap not in features]:
        raise UserError(f"{folder} has no tap {missing[0]!r}; it has {', '.join(features)}: run `dvc repro`")
    return np.flatnonzero(np.repeat([not taps or tap in taps for tap in features], list(features.values())))


def agreement(folder: Path, extract: Callable[[np.ndarray], np.ndarray]) -> float:
    """The lowest cosine, over the pictures in a folder, between what their pixels are mapped to and what is stored."""
    theirs = np.load(folder / _CHECK_FEATURES)
    ours = extract(np.load(folder / _CHECK_PIXELS).astype(np.float32))
    norms = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    dots = np.einsum("ij,ij->i", theirs, ours, dtype=np.float64)
    return float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1), theirs.any(1) == ours.any(1)).min())


def _save_graph(backbone: Backbone | LiteBackbone | OnnxBackbone, path: Path) -> None:
    """Writes the model in OpenVINO's format, with the preprocessing before it."""
    import openvino as ov
    from openvino import opset13 as ops

    size, graph = backbone.image_size, backbone.graph()
    (network_input,) = graph.get_parameters()
    pixels = ops.parameter([-1, size, size, 3], np.float32, name="pixels")
    matrix, offset = as_affine(backbone.preprocess)
    scaled = ops.add(ops.matmul(pixels, ops.constant(matrix), False, False), ops.constant(offset))
    for target in network_input.output(0).get_target_inputs():
        target.replace_source_output(scaled.output(0))
    graph = ov.Model(graph.get_results(), [pixels], "backbone")
    for number, node in enumerate(graph.get_ordered_ops()):  # Keras numbers its names anew with every model it makes
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
        for output in node.outputs():
            output.get_tensor().set_names(set())
    try:
        ov.save_model(graph, path, compress_to_fp16=False)
    except RuntimeError as error:  # it does not say why
        raise OSError(errno.EIO, f"the network cannot be written: is the disk full? OpenVINO says: {error}") from error


def _save_weights(network: "keras.Model", path: Path) -> None:
    """Writes weights as Keras does, if there is room for them: HDF5 crashes on a full disk."""
    if shutil.disk_usage(path.parent).free < _HDF5_ROOM + sum(weight.nbytes for weight in network.get_weights()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    network.save_weights(path)


def as_affine(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Finds the matrix M, (3, 3), and the offset b, (3,), float32, with preprocess(pixels) = pixels · M + b.

    Every preprocessing in `keras.applications` has this form. `save_extractor` notices one that has not.
    """
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)
    values = preprocess(probes[:, None, None, :])[:, 0, 0].astype(np.float64)
    return ((values[1:] - values[0]) / 255).astype(np.float32), values[0].astype(np.float32)


class _OpenVinoEngine:
    """A compiled graph of OpenVINO."""

    def __init__(self, graph: "ov.CompiledModel") -> None:
        parallel: int = graph.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [graph.create_infer_request() for _ in range(parallel)]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._requests[0].infer([pixels])[0].copy()

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        free, running = deque(self._requests), deque["ov.InferRequest"]()
        try:
            for batch in batches:
                if not free:
                    free.append(running.popleft())
                    yield _wait(free[-1])
                free[0].start_async([batch])
                running.append(free.popleft())
            while running:
                yield _wait(running.popleft())
        finally:
            for request in running:
                request.wait()


def _wait(request: "ov.InferRequest") -> np.ndarray:
    """What an engine's request gives, when it is done."""
    request.wait()
    return request.get_output_tensor().data.copy()


def load_engines(
    path: Path, batch_sizes: Sequence[int], precision: str, throughput: bool, threads: int | None = None
) -> dict[int, Engine]:
    """Compiles a graph of OpenVINO for batches of some sizes; see `load_extractor`."""
    core = openvino_core()
    graph, engines = core.read_model(path), dict[int, Engine]()
    # The precision is always stated: CPUs with bfloat16 would silently compute in it.
    hints: dict[str, str | int | bool] = {
        "ENABLE_CPU_PINNING": False,  # else all processes on a machine would compute on its first cores
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
    }
    if threads is not None:
        hints["INFERENCE_NUM_THREADS"] = threads
    for size in batch_sizes:
        graph.reshape([size, *graph.inputs[0].partial_shape[1:]])
        engines[size] = _OpenVinoEngine(core.compile_model(graph, "CPU", hints))
    return engines


def _check_precision(precision: str) -> None:
    if precision == "bf16" and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("params.yaml: backbone.precision: this processor does not compute in bf16: set it to f32")


class _KerasEngine:
    """A backbone that runs in Keras."""

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        self._predict = predict

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._predict(pixels)

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self._predict, batches)


def _load_keras(weights: Path, description: dict[str, Any], batch_sizes: Sequence[int]) -> dict[int, Engine]:
    from similarity.tensorflow_setup import prepare_tensorflow

    prepare_tensorflow()
    backbone = load_backbone(description["name"], str(weights), description["image_size"], description["taps"])
    return dict.fromkeys(batch_sizes, _KerasEngine(backbone.predict))
