"""Graphs of OpenVINO, from the pixels of images to features: converted from Keras, read from ONNX files, and run."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from similarity.data.features.networks import Backbone
from similarity.errors import UserError

if TYPE_CHECKING:
    import openvino as ov

Engine = Callable[[np.ndarray], np.ndarray]
"""Maps batches of one size, float32 (b, size, size, 3) in 0…255, to features, float32 (b, D); threads may share it."""

_PRECISIONS = {"openvino": "f32", "openvino_bf16": "bf16"}  # stated, since CPUs with bfloat16 would compute in it


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


def load_engines(
    path: Path, engine: str, batch_sizes: Sequence[int], throughput: bool = False, threads: int | None = None
) -> dict[int, Engine]:
    """Compile the graph in a file for batches of some sizes; see `load_extractor`."""
    core, engines = openvino_core(), dict[int, Engine]()
    graph = core.read_model(path)
    hints: dict[str, str | int | bool] = {
        "ENABLE_CPU_PINNING": False,  # else all processes on a machine would compute on its first cores
        "INFERENCE_PRECISION_HINT": _PRECISIONS[engine],
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
    }
    if threads is not None:
        hints["INFERENCE_NUM_THREADS"] = threads
    for size in batch_sizes:
        graph.reshape([size, *graph.inputs[0].partial_shape[1:]])
        engines[size] = _engine(core.compile_model(graph, "CPU", hints))
    return engines


def _engine(graph: "ov.CompiledModel") -> Engine:
    """Let threads share a compiled graph: each of them takes a request that no other one uses."""
    free = deque["ov.InferRequest"]()

    def compute(pixels: np.ndarray) -> np.ndarray:
        try:
            request = free.pop()
        except IndexError:
            request = graph.create_infer_request()
        features = request.infer([pixels])[0].copy()
        free.append(request)
        return features

    return compute


def save_graph(graph: "ov.Model", path: Path) -> None:
    """Write a graph in OpenVINO's format, ``.xml`` and ``.bin``, with the same bytes each time it is made.

    Raises:
        OSError: it cannot be written.
    """
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


def convert(backbone: Backbone) -> "ov.Model":
    """Convert a backbone from Keras."""
    import openvino as ov
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    pixels = tf.TensorSpec(backbone.model.input_shape, tf.float32)
    run = tf.function(partial(backbone.model, training=False)).get_concrete_function(pixels)
    # By way of a file: with Python 3.13, OpenVINO fails to convert what is in memory.
    with TemporaryDirectory(prefix="backbone-") as folder:
        path = tf.io.write_graph(convert_variables_to_constants_v2(run).graph, folder, "frozen.pb", as_text=False)
        return ov.convert_model(path, input=[-1, *pixels.shape[1:]])


def read_onnx(path: Path, mean: Sequence[float], std: Sequence[float], image_size: int) -> "ov.Model":
    """Read a network that maps images to features, such as the image tower of CLIP, from an ONNX file.

    It must have one input of three channels, first or last, and take any number of images. The first output of
    shape (n, D) is taken; if there is none, the first of feature maps, averaged over space.

    Args:
        path: of the file; weights may be in it or in files next to it.
        mean, std: of each channel of the pixels in 0…1 that the network was trained with.
        image_size: side of the square input, in pixels.

    Returns:
        A graph from RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D).

    Raises:
        UserError: there is no such file, it cannot be read, or it is not such a network.
    """
    import openvino as ov
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    if not path.is_file():
        raise UserError(
            f"params.yaml: backbone.name: there is no file {path}; give its path (absolute for queued experiments)"
        )
    try:
        network = openvino_core().read_model(path)
    except RuntimeError as error:
        raise UserError(f"params.yaml: backbone.name: OpenVINO cannot read {path}: {_last_line(error)}") from error
    layout, number = _input_layout(network, path), _feature_output(network, path)
    channels_first = layout == "NCHW"
    try:
        network.reshape([-1, 3, image_size, image_size] if channels_first else [-1, image_size, image_size, 3])
        steps = PrePostProcessor(network)
        steps.input().tensor().set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout(layout))
        steps.input().preprocess().mean([255 * value for value in mean]).scale([255 * value for value in std])
        network = steps.build()
        features = network.output(number).node.input_value(0)
        if len(features.partial_shape) == 4:
            features = ops.reduce_mean(features, (2, 3) if channels_first else (1, 2)).output(0)
        graph = ov.Model([ops.result(features)], network.get_parameters())
        openvino_core().compile_model(graph, "CPU")([np.zeros((1, image_size, image_size, 3), np.float32)])
    except RuntimeError as error:
        raise UserError(
            f"params.yaml: backbone.image_size: {path} does not take any number of images of {image_size} × "
            f"{image_size} pixels: {_last_line(error)}"
        ) from error
    return graph


def _input_layout(network: "ov.Model", path: Path) -> str:
    if len(network.inputs) != 1:
        names = ", ".join(each.any_name for each in network.inputs)
        raise UserError(f"params.yaml: backbone.name: {path} has the inputs {names}; export the image tower alone")
    shape, kind = network.input().partial_shape, network.input().element_type.get_type_name()
    for layout, channel in (("NCHW", 1), ("NHWC", 3)):
        if kind == "f32" and len(shape) == 4 and shape[channel].is_static and shape[channel].get_length() == 3:
            return layout
    needed = "float32 of three channels, (n, 3, height, width) or (n, height, width, 3), is needed"
    raise UserError(f"params.yaml: backbone.name: {path} takes {kind} {shape}; {needed}")


def _feature_output(network: "ov.Model", path: Path) -> int:
    shapes = [output.partial_shape for output in network.outputs]
    ranks = [len(shape) for shape in shapes]
    for rank in (2, 4):
        if rank in ranks:
            return ranks.index(rank)
    needed = "one vector per image, (n, D), or feature maps, (n, D, height, width), are needed"
    raise UserError(f"params.yaml: backbone.name: {path} gives {', '.join(map(str, shapes))}; {needed}")


def _last_line(error: Exception) -> str:
    """Take the reason from one of OpenVINO's messages, which begin with the place in its source."""
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1][:300]
