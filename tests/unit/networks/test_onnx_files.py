"""Backbones from ONNX files, compared with the same network in Keras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samples import batch_of
from similarity.data.features.extractor import load_extractor, save_extractor
from similarity.data.features.networks import read_onnx
from similarity.errors import UserError

SIZE = 32
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
IMAGES = (None, SIZE, SIZE, 3)


def write_onnx(call: Callable[..., Any], path: Path, *shapes: tuple[int | None, ...], **options: Any) -> Path:
    """Writes a function of float32 tensors of these shapes to a file; returns its path."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(shape, tf.float32, f"image{i}") for i, shape in enumerate(shapes)]
    function = tf.function(call, input_signature=signature)
    tf2onnx.convert.from_function(function, signature, opset=18, output_path=str(path), **options)
    return path


@pytest.mark.parametrize(("channels_first", "pooled"), [(True, False), (False, True)])
def test_features_are_those_of_the_network_with_a_normalization_of_each_channel(
    photographs: list[np.ndarray], tmp_path: Path, channels_first: bool, pooled: bool
) -> None:
    import tensorflow as tf
    from keras import Sequential, layers

    network = Sequential([layers.Conv2D(8, 3, 2, activation="relu"), layers.Conv2D(12, 3, activation="relu")])
    pixels = batch_of(photographs, SIZE, 7)
    maps = network(((pixels / 255 - MEAN) / STD).astype(np.float32))
    call = (lambda images: tf.reduce_mean(network(images), axis=(1, 2))) if pooled else network
    layout = {"inputs_as_nchw": ["image0:0"], "outputs_as_nchw": [] if pooled else ["Identity:0"]}
    path = write_onnx(call, tmp_path / "model.onnx", IMAGES, **layout if channels_first else {})
    folder = tmp_path / "saved"
    folder.mkdir()
    save_extractor(folder, read_onnx(path, MEAN, STD, SIZE), path.name, "openvino", [])
    extractor = load_extractor(folder, (4,))
    assert (extractor.image_size, extractor.description["tap_features"]) == (SIZE, {"final": 12})
    np.testing.assert_allclose(extractor(pixels), np.mean(maps, axis=(1, 2)), rtol=1e-3, atol=1e-5)


def test_what_is_no_image_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    import tensorflow as tf

    def flat(*tensors: Any) -> Any:
        return tf.concat([tf.reshape(tensor, (-1, SIZE)) for tensor in tensors], axis=0)

    def sequences(tensor: Any) -> Any:
        return tf.reduce_mean(tensor, axis=3)

    def linear(images: Any) -> Any:
        return tf.matmul(tf.reshape(images, (-1, SIZE * SIZE * 3)), tf.ones((SIZE * SIZE * 3, 8)))

    (tmp_path / "damaged.onnx").write_bytes(b"no network")
    two = write_onnx(flat, tmp_path / "two.onnx", IMAGES, IMAGES)
    gray = write_onnx(flat, tmp_path / "gray.onnx", (None, SIZE, SIZE, 1))
    tokens = write_onnx(sequences, tmp_path / "tokens.onnx", IMAGES)
    refused = {
        tmp_path / "missing.onnx": "Could not open the file",
        tmp_path / "damaged.onnx": "Available frontends",
        two: r"takes .*32,3\].*32,3\].* export the image tower alone",
        gray: r"takes .*32,32,1\].* and gives .* one float32 input",
        tokens: r"gives .*32,32\].* one vector per image",
    }
    for path, message in refused.items():
        with pytest.raises(UserError, match=message) as refusal:
            read_onnx(path, MEAN, STD, SIZE)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)
    path = write_onnx(linear, tmp_path / "linear.onnx", IMAGES)
    assert read_onnx(path, MEAN, STD, SIZE).output().partial_shape[1].get_length() == 8
    with pytest.raises(UserError, match=r"cannot be used with images of 40 × 40 pixels"):
        read_onnx(path, MEAN, STD, 40)
