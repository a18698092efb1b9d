"""The frozen, ImageNet-pretrained networks that turn pixels into features."""

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.features.efficientnet_lite import build_efficientnet_lite0, load_imagenet_weights, scale_pixels

if TYPE_CHECKING:
    import keras

FINAL_TAP = "final"

Preprocess = Callable[[np.ndarray], np.ndarray]
"""Maps RGB pixels, float32 (n, size, size, 3) in 0…255, to what a network takes, of the same shape."""


class Backbone(NamedTuple):
    """A network that gives one row of features per image, and the preprocessing that it was trained with.

    Attributes:
        model: maps preprocessed pixels, float32 (n, size, size, 3), to features, float32 (n, D).
        preprocess: what comes before the model.
        network: the network whose layers are tapped, with the weights; what weights files are of.
    """

    model: "keras.Model"
    preprocess: Preprocess
    network: "keras.Model"


def load_backbone(name: str, weights: str, image_size: int, taps: Sequence[str]) -> Backbone:
    """Builds a frozen backbone with its weights.

    Args:
        name: ``efficientnet_lite0``, or a model of ``keras.applications`` by its name in any spelling
            (``resnet50``, ``ResNet50``).
        weights: ``imagenet``, or the path of a weights file of the model without its classifier.
        image_size: side of the square input, in pixels.
        taps: where features are taken. A layer's name adds the means and then the standard deviations of that layer's
            channels over space; ``final`` adds the means of the last feature map. None at all means ``final`` alone.

    Raises:
        UserError: unknown model or layer name, too small an input, or weights that are missing or do not fit.
    """
    from keras import Model

    build = _build_efficientnet_lite0 if name == "efficientnet_lite0" else partial(_build_application, name)
    network, preprocess, load_weights = build(image_size)
    outputs = _tap(network, taps or (FINAL_TAP,))
    if weights == "imagenet":
        load_weights()
    else:
        _load_weights_file(network, Path(weights))
    return Backbone(Model(network.inputs, outputs, trainable=False), preprocess, network)


class _Network(NamedTuple):
    """A network without weights, the preprocessing that it expects, and what fills in its ImageNet weights."""

    model: "keras.Model"
    preprocess: Preprocess
    load_imagenet_weights: Callable[[], None]


def _build_efficientnet_lite0(image_size: int) -> _Network:
    network = build_efficientnet_lite0(image_size)
    return _Network(network, scale_pixels, partial(load_imagenet_weights, network))


def _build_application(name: str, image_size: int) -> _Network:
    import keras

    builders = {key.lower(): value for key, value in vars(keras.applications).items() if key[0].isupper()}
    builder = builders.get(name.replace("_", "").lower())
    if builder is None:
        known = ", ".join(["efficientnet_lite0", *sorted(builders)])
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


def _tap(network: "keras.Model", taps: Sequence[str]) -> "keras.KerasTensor":
    """Pools the named layers' outputs over space and concatenates them, (n, D)."""
    from keras import ops

    feature_maps = {
        layer.name: layer.output
        for layer in network.layers
        if layer.output is not None and len(layer.output.shape) == 4
    }
    pooled = []
    for tap in taps:
        if tap == FINAL_TAP:
            pooled.append(ops.mean(list(feature_maps.values())[-1], axis=(1, 2)))
        elif tap in feature_maps:
            pooled += [ops.mean(feature_maps[tap], axis=(1, 2)), ops.std(feature_maps[tap], axis=(1, 2))]
        else:
            near = get_close_matches(tap, feature_maps, n=5, cutoff=0.3) or list(feature_maps)[:5]
            raise UserError(
                f"params.yaml: backbone.taps: {network.name} has no layer {tap!r}; near it are: {', '.join(near)}"
            )
    return ops.concatenate(pooled, axis=-1)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
