"""The whole model, from pixels to embeddings, as one Keras model, and in the formats that other programs run."""

import errno
import os
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from similarity.data.features.networks import Backbone
from similarity.embedding.model import EmbeddingModel
from similarity.errors import UserError

if TYPE_CHECKING:
    import keras

_ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")

Run = Callable[[np.ndarray], np.ndarray]
"""Maps pixels, float32 (n, size, size, 3) in 0…255, to embeddings, float32 (n, E)."""


def build_model(backbone: Backbone, model: EmbeddingModel) -> "keras.Model":
    """Join backbone, class part and visual part: ``pixels``, (n, size, size, 3) in 0…255, to ``embedding``, (n, E)."""
    from keras import Input, Model, layers

    def dense(x: "keras.KerasTensor", kernel: np.ndarray, bias: np.ndarray, **options: str) -> "keras.KerasTensor":
        layer = layers.Dense(len(bias), **options)
        y = layer(x)
        layer.set_weights([kernel, bias])
        return y

    pixels = Input(backbone.model.input_shape[1:], name="pixels")
    features, parts = backbone.model(pixels), list["keras.KerasTensor"]()
    if len(model.head.bias):
        parts.append(dense(features, model.head.kernel, model.head.bias, activation="relu"))
    if len(model.visual.bias):
        parts.append(dense(features, model.visual.kernel, model.visual.bias))
        weights = (1 - model.visual_weight, model.visual_weight)[-len(parts) :]
        units = [layers.UnitNormalization()(part) for part in parts]
        parts = [layers.Rescaling(weight**0.5)(unit) for unit, weight in zip(units, weights, strict=True)]
    return Model(pixels, {"embedding": layers.Concatenate()(parts) if len(parts) > 1 else parts[0]})


def read_notes(image_size: int, embedding_size: int) -> str:
    """Read what says how to use an export, Markdown."""
    text = files("similarity").joinpath("exporting.md").read_text(encoding="utf-8")
    return text.replace("<size>", str(image_size)).replace("<E>", str(embedding_size))


def require_onnx() -> None:
    """Raise a `UserError` if a package for ONNX is missing."""
    if missing := [name for name in _ONNX_PACKAGES if find_spec(name) is None]:
        raise UserError(
            f"--format onnx needs more packages ({', '.join(missing)}): "
            "run `pip install 'onnx>=1.17,<2' 'onnxruntime>=1.20,<2' 'tf2onnx>=1.17,<2'`"
        )


def export_saved_model(model: "keras.Model", folder: Path) -> Run:
    """Write a TensorFlow SavedModel, and load it again."""
    import tensorflow as tf

    try:
        model.export(folder, verbose=False)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    loaded = tf.saved_model.load(folder)  # whose variables live as long as it does
    return lambda pixels: loaded.signatures["serving_default"](pixels=tf.constant(pixels))["embedding"].numpy()


def export_onnx(model: "keras.Model", path: Path) -> Run:
    """Write an ONNX file, and load it again."""
    # Where it can, ONNX Runtime reports how it is used. It also keeps that in the home folder until then.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    model.predict_on_batch(np.zeros((1, *model.input_shape[1:]), np.float32))  # else Keras does not export it
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["embedding"], {"pixels": pixels})[0]
