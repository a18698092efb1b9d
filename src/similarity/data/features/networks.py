"""The frozen, ImageNet-pretrained networks of Keras that turn pixels into features."""

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similarity.data.features.efficientnet_lite import VARIANTS, efficientnet_lite, preprocess_input
from similarity.errors import UserError, one_line

if TYPE_CHECKING:
    import keras

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

    if weights != "imagenet" and not Path(weights).is_file():
        raise UserError(
            f"params.yaml: backbone.weights: there is no file {weights}; give its path "
            "(absolute for queued experiments), or `imagenet`"
        )
    network, preprocess = _build(name, image_size, weights if weights == "imagenet" else None)
    if weights != "imagenet":
        _load_weights_file(network, weights)
    pooled = {tap: _pool(network, tap) for tap in taps or (FINAL_TAP,)}
    matrix, offset = as_affine(preprocess)
    pixels = Input((image_size, image_size, 3), name="pixels")
    preprocessing = layers.Conv2D(3, 1, name="preprocessing")  # one product for each pixel
    tapped = Model(network.inputs, ops.concatenate(list(pooled.values()), axis=-1))
    model = Model(pixels, tapped(preprocessing(pixels)), trainable=False)
    preprocessing.set_weights([matrix[None, None], offset])
    return Backbone(model, network, {tap: output.shape[-1] for tap, output in pooled.items()})


def as_affine(preprocess: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Find the matrix M, (3, 3), and the offset b, (3,), float32, with preprocess(pixels) = pixels · M + b.

    Every preprocessing in `keras.applications` has this form.
    """
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)
    values = np.asarray(preprocess(probes[:, None, None, :]), np.float64)[:, 0, 0]
    return ((values[1:] - values[0]) / 255).astype(np.float32), values[0].astype(np.float32)


def _build(name: str, image_size: int, weights: str | None) -> tuple["keras.Model", Callable[[np.ndarray], np.ndarray]]:
    """Build a network without its classifier, and find the preprocessing that it expects."""
    import keras

    models = {key.lower(): value for key, value in vars(keras.applications).items() if key[0].isupper()}
    builder: Any = partial(efficientnet_lite, name) if name in VARIANTS else models.get(name.replace("_", "").lower())
    if builder is None:
        known = ", ".join([*VARIANTS, *sorted(models)])
        raise UserError(f"params.yaml: backbone.name: {name!r} is unknown; choose one of {known}")
    # Public aliases do not cover every model (MobileNetV3Small), the module that defines the model always does.
    preprocess = preprocess_input if name in VARIANTS else import_module(builder.__module__).preprocess_input
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on sizes that ImageNet weights were not made for
            return builder(include_top=False, weights=weights, input_shape=(image_size, image_size, 3)), preprocess
    except UserError:
        raise
    except ValueError as error:
        message = f"params.yaml: backbone.image_size: {image_size} does not fit {name}: {one_line(error)}"
        raise UserError(message) from error
    except Exception as error:  # keras.utils.get_file wraps whatever went wrong in a bare Exception
        raise UserError(
            f"cannot download the ImageNet weights of {name} ({one_line(error)}): run once with network access "
            "(Keras keeps them in ~/.keras/models), or set backbone.weights to a weights file of the model "
            "without its classifier"
        ) from error


def _load_weights_file(network: "keras.Model", path: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns of layers that it does not find in the file
            network.load_weights(path)
    except Exception as error:  # each format that Keras tries has errors of its own
        message = f"{path} does not fit {network.name} without its classifier: {one_line(error)}"
        raise UserError(f"params.yaml: backbone.weights: {message}") from error


def _pool(network: "keras.Model", tap: str) -> "keras.KerasTensor":
    """Pool the output of a tapped layer over space, (n, d)."""
    from keras import ops

    outputs = ((layer.name, layer.output) for layer in network.layers if layer.output is not None)
    feature_maps = {name: output for name, output in outputs if len(output.shape) == 4}
    if tap == FINAL_TAP:
        return ops.mean(list(feature_maps.values())[-1], axis=(1, 2))
    feature_map = feature_maps[tapped_layer(network.name, list(feature_maps), tap)]
    return ops.concatenate([ops.mean(feature_map, axis=(1, 2)), ops.std(feature_map, axis=(1, 2))], axis=-1)


def tapped_layer(network: str, layers: Sequence[str], tap: str) -> str:
    """Find the layer that a tap names, or the last one whose name it begins; raise a `UserError` if there is none."""
    if tap in layers:
        return tap
    if matching := [name for name in layers if name.startswith(tap) and not name[len(tap)].isdigit()]:
        return matching[-1]
    near = get_close_matches(tap, layers, n=5, cutoff=0.3) or list(layers)[:5]
    raise UserError(f"params.yaml: backbone.taps: {network} has no layer {tap!r}; near it are: {', '.join(near)}")
