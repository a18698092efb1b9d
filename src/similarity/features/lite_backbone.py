"""EfficientNet-Lite with its ImageNet weights as a graph of OpenVINO, layer by layer the network in Keras.

It is there in a second, where TensorFlow takes ten to start, build, and convert; tests hold it against Keras.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from similarity.features.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    BatchNorm,
    Block,
    blocks_of,
    imagenet_weights,
    scale_pixels,
)
from similarity.features.networks import FINAL_TAP, Preprocess, tapped_layer
from similarity.features.openvino_core import openvino_core

if TYPE_CHECKING:
    import openvino as ov

_SPACE = (2, 3)  # the axes of height and width


@dataclass(frozen=True)
class LiteBackbone:
    """A network without its classifier, tapped at some layers.

    Attributes:
        network: from preprocessed pixels, (n, size, size, 3), to features, (n, D).
        image_size: side of the square input, in pixels.
        tap_features: how many of the features come from each tap, in their order.
        preprocess: what comes before the network.
    """

    network: "ov.Model"
    image_size: int
    tap_features: dict[str, int]
    preprocess: Preprocess = scale_pixels

    @property
    def features(self) -> int:
        """Features per image, D."""
        return sum(self.tap_features.values())

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Maps RGB pixels, float32 (n, size, size, 3) in 0…255, to features, float32 (n, D)."""
        compiled = openvino_core().compile_model(self.network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.concatenate([compiled(self.preprocess(each[None]))[0] for each in pixels])

    def graph(self) -> "ov.Model":
        """The network."""
        return self.network.clone()


def load_lite_backbone(name: str, image_size: int, taps: Sequence[str]) -> LiteBackbone:
    """Builds a network, one of `VARIANTS`; see `load_backbone` for the taps, which have the names of the Keras layers.

    Raises:
        UserError: there is no such layer, or the weights are missing.
    """
    import openvino as ov
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, image_size, image_size, 3], np.float32)
    layers = _build(name, pixels)
    pooled = {tap: _pool(name, layers, tap) for tap in taps or (FINAL_TAP,)}
    features = ops.concat(list(pooled.values()), axis=1)
    sizes = {tap: output.get_output_partial_shape(0)[1].get_length() for tap, output in pooled.items()}
    return LiteBackbone(ov.Model([ops.result(features)], [pixels], "backbone"), image_size, sizes)


def _build(name: str, pixels: "ov.Node") -> dict[str, "ov.Node"]:
    """The output of each layer, (n, channels, height, width), by the layer's name."""
    from openvino import opset13 as ops

    weights = imagenet_weights(name)
    kernels, norms = iter(weights[0]), iter(weights[1])
    layers: dict[str, ov.Node] = {}

    def convolved(x: "ov.Node", name: str, stride: int = 1, depthwise: bool = False) -> "ov.Node":
        kernel = next(kernels)[0]
        convolve = ops.group_convolution if depthwise else ops.convolution
        weights = ops.constant(kernel[:, None] if depthwise else kernel)
        layers[name] = convolve(x, weights, [stride] * 2, [0, 0], [0, 0], [1, 1], auto_pad="same_upper")
        return layers[name]

    def normalized(x: "ov.Node", name: str) -> "ov.Node":
        scale, shift = _affine(next(norms))
        layers[name] = ops.add(ops.multiply(x, ops.constant(scale)), ops.constant(shift))
        return layers[name]

    def activated(x: "ov.Node", name: str) -> "ov.Node":
        layers[name] = ops.clamp(normalized(x, f"{name}_bn"), 0, 6)
        return layers[name]

    def add_block(x: "ov.Node", block: Block) -> "ov.Node":
        inputs, name = x, block.name
        if block.expanded > block.inputs:
            x = activated(convolved(x, f"{name}_expand_conv"), f"{name}_expand")
        x = activated(convolved(x, f"{name}_depthwise_conv", block.stride, depthwise=True), f"{name}_depthwise")
        x = normalized(convolved(x, f"{name}_project_conv"), f"{name}_project" if block.adds_inputs else name)
        if block.adds_inputs:
            layers[name] = ops.add(x, inputs)
        return layers[name]

    x = layers["pixels"] = ops.transpose(pixels, ops.constant(np.array([0, 3, 1, 2])))
    x = activated(convolved(x, "stem_conv", 2), "stem")
    for block in blocks_of(name):
        x = add_block(x, block)
    activated(convolved(x, "top_conv"), "top")
    return layers


def _affine(norm: BatchNorm) -> tuple[np.ndarray, np.ndarray]:
    """What a batch normalization multiplies by and adds, float32 (1, channels, 1, 1) each."""
    scale = norm.gamma / np.sqrt(norm.variance + np.float32(BATCH_NORM_EPSILON))
    shift = norm.beta - norm.mean * scale
    return scale.reshape(1, -1, 1, 1), shift.reshape(1, -1, 1, 1)


def _pool(network: str, layers: dict[str, "ov.Node"], tap: str) -> "ov.Node":
    """Pools the output of a tapped layer over space, (n, d)."""
    from openvino import opset13 as ops

    feature_map = layers["top" if tap == FINAL_TAP else tapped_layer(network, list(layers), tap)]
    means = ops.reduce_mean(feature_map, ops.constant(np.array(_SPACE)), keep_dims=True)
    flat = ops.squeeze(means, ops.constant(np.array(_SPACE)))
    if tap == FINAL_TAP:
        return flat
    squares = ops.power(ops.subtract(feature_map, means), ops.constant(np.float32(2)))
    deviations = ops.sqrt(ops.reduce_mean(squares, ops.constant(np.array(_SPACE))))
    return ops.concat([flat, deviations], axis=1)
