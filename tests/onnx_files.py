"""Networks in ONNX files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_onnx(call: Callable[..., Any], path: Path, *shapes: tuple[int | None, ...], **options: Any) -> Path:
    """Writes a function of float32 tensors of these shapes to an ONNX file; returns its path."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(shape, tf.float32, f"image{i}") for i, shape in enumerate(shapes)]
    function = tf.function(call, input_signature=signature)
    tf2onnx.convert.from_function(function, signature, opset=18, output_path=str(path), **options)
    return path
