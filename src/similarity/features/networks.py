"""The frozen, ImageNet-pretrained networks that turn pixels into features."""

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.features.efficientnet_lite import VARIANTS, build_efficientnet_lite, load_imagenet_weights, scale_pixels

if TYPE_CHECKING:
    import keras
    import openvino as ov

FINAL_TAP = "final"

Preprocess = Callable[[np.ndarray], np.ndarray]
"""Maps RGB pixels, float32 (n, size, size, 3) in 0…255, to what a network takes, of the same shape."""


class Backbone(NamedTuple):
    """A network that gives one row of features per image, and the preprocessing that it was trained with.

    Attributes:
        model: maps preprocessed pixels, float32 (n, size, size, 3), to features, float32 (n, D).
        preprocess: what comes before the model.
        network: the network whose layers are tapped, with the weights; what weights files are of.
        tap_features: how many of the features come from each tap, in their order.
    """

    model: "keras.Model"
    preprocess: Preprocess
    network: "keras.Model"
    tap_features: dict[str, int]

    @property
    def image_size(self) -> int:
        """Side of the square input, in pixels."""
        return int(self.model.input_shape[1])

    @property
    def features(self) -> int:
        """Features per image, D."""
        return int(self.model.output_shape[1])

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Maps RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D)."""
        return np.asarray(self.model.predict_on_batch(self.preprocess(pixels)))

    def graph(self) -> "ov.Model":
        """The model as a graph of OpenVINO, from preprocessed pixels to features."""
        import openvino as ov

        with TemporaryDirectory(prefix="backbone-") as folder:  # OpenVINO takes no Keras model with Python 3.13
            self.model.export(folder, verbose=False)
            return ov.convert_model(folder, input=[-1, self.image_size, self.image_size, 3])


def load_backbone(name: str, weights: str, image_size: int, taps: Sequence[str]) -> Backbone:
    """Builds a frozen backbone with its weights.

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
        UserError: unknown model or layer name, too small an input, or weights that are missing or do not fit.
    """
    from keras import Model, ops

    build = _build_efficientnet_lite if name in VARIANTS else _build_application
    network, preprocess, load_weights = build(name, image_size)
    pooled = {tap: _pool(network, tap) for tap in taps or (FINAL_TAP,)}
    if weights == "imagenet":
        load_weights()
    else:
        _load_weights_file(network, Path(weights))
    model = Model(network.inputs, ops.concatenate(list(pooled.values()), axis=-1), trainable=False)
    return Backbone(model, preprocess, network, {tap: output.shape[-1] for tap, output in pooled.items()})


class _Network(NamedTuple):
    """A network without weights, the preprocessing that it expects, and what fills in its ImageNet weights."""

    model: "keras.Model"
    preprocess: Preprocess
    load_imagenet_weights: Callable[[], None]


def _build_efficientnet_lite(name: str, image_size: int) -> _Network:
    network = build_efficientnet_lite(name, image_size)
    return _Network(network, scale_pixels, partial(load_imagenet_weights, network))


def _build_application(name: str, image_size: int) -> _Network:
    import keras

    builders = {key.lower(): value for key, value in vars(keras.applications).items() if key[0].isupper()}
    builder = builders.get(name.replace("_", "").lower())
    if builder is None:
        known = ", ".join([*VARIANTS, *sorted(builders)])
        raise UserError(f"params.yaml: backbone.name: {name!r} is unknown; choose one of {known}")
    build = partial(builder, include_top=False, input_shape=(image_size, image_size, 3))
    try:
        network = build(weights=None)
    except ValueError as error:
        raise UserError(
            f"params.yaml: backbone.image_size: {image_size} does not fit {name}: {_one_line(error)}"
        ) from error

    def load_weights() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks on sizes that ImageNet weights were not made for
                network.set_weights(build(weights="imagenet").get_weights())
        except Exception as error:  # keras.utils.get_file wraps whatever went wrong in a bare Exception
            raise UserError(
                f"cannot download the ImageNet weights of {name} ({_one_line(error)}): run once with network access "
                "(Keras keeps them in ~/.keras/models), or set backbone.weights to a weights file of the model "
                "without its classifier"
            ) from error

    # Public aliases do not cover every model (MobileNetV3Small), the module that defines the model always does.
    preprocess_input = import_module(builder.__module__).preprocess_input
    return _Network(network, lambda pixels: np.asarray(preprocess_input(pixels.copy()), np.float32), load_weights)


def _load_weights_file(network: "keras.Model", path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f"params.yaml: backbone.weights: there is no file {path}; give its path "
            "(absolute for queued experiments), or `imagenet`"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns of layers that it does not find in the file
            network.load_weights(path)
    except Exception as error:  # each format that Keras tries has errors of its own
        raise UserError(
            f"params.yaml: backbone.weights: {path} does not fit {network.name} without its classifier: "
            f"{_one_line(error)}"
        ) from error


def _pool(network: "keras.Model", tap: str) -> "keras.KerasTensor":
    """Pools the output of a tapped layer over space, (n, d)."""
    from keras import ops

    feature_maps = {
        layer.name: layer.output
        for layer in network.layers
        if layer.output is not None and len(layer.output.shape) == 4
    }
    if tap == FINAL_TAP:
        return ops.mean(list(feature_maps.values())[-1], axis=(1, 2))
    feature_map = feature_maps[tapped_layer(network.name, list(feature_maps), tap)]
    return ops.concatenate([ops.mean(feature_map, axis=(1, 2)), ops.std(feature_map, axis=(1, 2))], axis=-1)


def tapped_layer(network: str, layers: Sequence[str], tap: str) -> str:
    """The layer that a tap names, or the last one whose name it begins.

    Raises:
        UserError: there is none.
    """
    if tap in layers:
        return tap
    if matching := [name for name in layers if name.startswith(tap) and not name[len(tap)].isdigit()]:
        return matching[-1]
    near = get_close_matches(tap, layers, n=5, cutoff=0.3) or list(layers)[:5]
    raise UserError(f"params.yaml: backbone.taps: {network} has no layer {tap!r}; near it are: {', '.join(near)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
