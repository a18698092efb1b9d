"""Write the folder of an extractor: from a backbone in Keras, or from the network in an ONNX file."""

import errno
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import orjson

from similarity.data.features.extractor import DESCRIPTION, GRAPH, WEIGHTS, openvino_core
from similarity.data.features.networks import FINAL_TAP, Backbone
from similarity.errors import UserError

if TYPE_CHECKING:
    import openvino as ov


def save_extractor(folder: Path, backbone: "Backbone | ov.Model", name: str, engine: str, taps: Sequence[str]) -> None:
    """Write a backbone from Keras, or the graph of an ONNX file, into an existing folder.

    Its name and taps are kept with it, as `load_backbone` takes them. The engine is to run it: ``openvino``,
    ``openvino_bf16`` or, if it is from Keras, ``keras``.

    Raises:
        UserError: this processor does not compute as the engine is to.
    """
    if engine == "openvino_bf16" and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("params.yaml: backbone.engine: this processor does not compute in bf16: set it to openvino")
    if isinstance(backbone, Backbone):
        image_size, tap_features = backbone.model.input_shape[1], backbone.tap_features
        if engine == "keras":
            backbone.network.save_weights(folder / WEIGHTS)
        else:
            _save_graph(_convert(backbone), folder / GRAPH)
    else:
        image_size = backbone.input().partial_shape[1].get_length()
        tap_features = {FINAL_TAP: backbone.output().partial_shape[1].get_length()}
        _save_graph(backbone, folder / GRAPH)
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
    inputs, shapes = network.inputs, [output.partial_shape for output in network.outputs]
    images, ranks = inputs[0].partial_shape, [len(shape) for shape in shapes]
    layouts = [each for each in ("NCHW", "NHWC") if len(images) == 4 and images[each.index("C")] == 3]
    if len(inputs) != 1 or inputs[0].element_type != ov.Type.f32 or not layouts or not {2, 4} & set(ranks):
        takes = ", ".join(f"{each.element_type.get_type_name()} {each.partial_shape}" for each in inputs)
        raise UserError(
            f"params.yaml: backbone.name: {path} takes {takes} and gives {', '.join(map(str, shapes))}; one input of "
            "float32 with three channels, (n, 3, height, width) or (n, height, width, 3), and one vector per image, "
            "(n, D), or feature maps, (n, D, height, width), are needed: export the image tower alone"
        )
    channels_first = layouts[0] == "NCHW"
    try:
        network.reshape([-1, 3, image_size, image_size] if channels_first else [-1, image_size, image_size, 3])
        steps = PrePostProcessor(network)
        steps.input().tensor().set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout(layouts[0]))
        steps.input().preprocess().mean([255 * value for value in mean]).scale([255 * value for value in std])
        network = steps.build()
        features = network.output(ranks.index(2 if 2 in ranks else 4)).node.input_value(0)
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


def _last_line(error: Exception) -> str:
    """Take the reason from one of OpenVINO's messages, which begin with the place in its source."""
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1][:300]
