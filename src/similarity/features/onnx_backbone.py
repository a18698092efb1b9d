"""A backbone from an ONNX file, such as the image tower of CLIP or DINOv2, as OpenVINO reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.features.networks import FINAL_TAP
from similarity.features.openvino_core import openvino_core

if TYPE_CHECKING:
    import openvino as ov

_CHANNELS = 3


class OnnxBackbone(NamedTuple):
    """A network from an ONNX file, and the preprocessing that it was trained with.

    Attributes:
        network: the network as it was read, for images of a fixed size.
        channels_first: whether it takes (n, 3, size, size), and not (n, size, size, 3); feature maps are likewise.
        output: number of the network's output that is used, (n, D), or feature maps whose mean over space is.
        mean: of each channel, to be subtracted from pixels in 0…1.
        std: of each channel, to divide by after that.
        image_size: side of the square input, in pixels.
        features: features per image, D.
    """

    network: "ov.Model"
    channels_first: bool
    output: int
    mean: Sequence[float]
    std: Sequence[float]
    image_size: int
    features: int

    @property
    def tap_features(self) -> dict[str, int]:
        """How many of the features come from each tap."""
        return {FINAL_TAP: self.features}

    def preprocess(self, pixels: np.ndarray) -> np.ndarray:
        """Standardizes the channels of RGB pixels in 0…255, float32 (n, size, size, 3) in and out."""
        return (pixels / np.float32(255) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Maps RGB pixels, float32 (n, size, size, 3) in 0…255, one by one to features, float32 (n, D)."""
        compiled = openvino_core().compile_model(self.network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        inputs = self.preprocess(pixels)
        if self.channels_first:
            inputs = inputs.transpose(0, 3, 1, 2)
        outputs = [compiled(np.ascontiguousarray(each[None]))[self.output] for each in inputs]
        return np.concatenate([each if each.ndim == 2 else each.mean(axis=self._space) for each in outputs])

    @property
    def _space(self) -> tuple[int, int]:
        """The axes of height and width."""
        return (2, 3) if self.channels_first else (1, 2)

    def graph(self) -> "ov.Model":
        """The network as a graph from preprocessed pixels, (n, size, size, 3), to features, (n, D)."""
        import openvino as ov
        from openvino import opset13 as ops

        network = self.network.clone()
        (parameter,), output = network.get_parameters(), network.output(self.output).node.input_value(0)
        pixels = ops.parameter([-1, self.image_size, self.image_size, _CHANNELS], np.float32)
        taken = ops.transpose(pixels, [0, 3, 1, 2]) if self.channels_first else pixels
        for target in parameter.output(0).get_target_inputs():
            target.replace_source_output(taken.output(0))
        features = output if len(output.partial_shape) == 2 else ops.reduce_mean(output, self._space).output(0)
        return ov.Model([ops.result(features)], [pixels], "backbone")


def load_onnx_backbone(path: Path, mean: Sequence[float], std: Sequence[float], image_size: int) -> OnnxBackbone:
    """Reads a network that maps images to features from an ONNX file, with weights in it or beside it.

    It must have one input of three channels, first or last, that takes any number of images. Of several outputs the
    first of shape (n, D) is taken; if there is none, the first of feature maps, averaged over space.

    Args:
        path: of the file.
        mean: of each channel, of pixels in 0…1.
        std: likewise.
        image_size: side of the square input, in pixels.

    Raises:
        UserError: there is no such file, it cannot be read, or it is not such a network.
    """
    if not path.is_file():
        raise UserError(
            f"params.yaml: backbone.name: there is no file {path}; give its path (absolute for queued experiments)"
        )
    try:
        network = openvino_core().read_model(path)
    except RuntimeError as error:
        raise UserError(f"params.yaml: backbone.name: OpenVINO cannot read {path}: {_last_line(error)}") from error
    channels_first = _channels_first(network, path)
    shape = (_CHANNELS, image_size, image_size) if channels_first else (image_size, image_size, _CHANNELS)
    pixels = np.zeros((1, image_size, image_size, _CHANNELS), np.float32)
    try:
        network.reshape([-1, *shape])
        output = _feature_output(network, path)
        backbone = OnnxBackbone(network, channels_first, output, mean, std, image_size, 0)
        return backbone._replace(features=backbone.predict(pixels).shape[1])
    except RuntimeError as error:
        raise UserError(
            f"params.yaml: backbone.image_size: {path} does not take any number of images of {image_size} × "
            f"{image_size} pixels: {_last_line(error)}"
        ) from error


def _channels_first(network: "ov.Model", path: Path) -> bool:
    if len(network.inputs) != 1:
        names = ", ".join(each.any_name for each in network.inputs)
        raise UserError(f"params.yaml: backbone.name: {path} has the inputs {names}; export the image tower alone")
    (network_input,) = network.inputs
    shape, kind = network_input.partial_shape, network_input.element_type.get_type_name()
    if kind == "f32" and len(shape) == 4:
        sizes = [dimension.get_length() if dimension.is_static else None for dimension in shape]
        if _CHANNELS in (sizes[1], sizes[3]):
            return sizes[1] == _CHANNELS
    raise UserError(
        f"params.yaml: backbone.name: {path} takes {kind} {shape}; float32 of three channels, (n, 3, height, width) or "
        "(n, height, width, 3), is needed"
    )


def _feature_output(network: "ov.Model", path: Path) -> int:
    ranks = [len(output.partial_shape) for output in network.outputs]
    for rank in (2, 4):
        if rank in ranks:
            return ranks.index(rank)
    shapes = ", ".join(str(output.partial_shape) for output in network.outputs)
    raise UserError(
        f"params.yaml: backbone.name: {path} gives {shapes}; one vector per image, (n, D), or feature maps, "
        "(n, D, height, width), are needed"
    )


def _last_line(error: Exception) -> str:
    """OpenVINO's messages begin with the place in its source and end with the reason."""
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1][:300]
