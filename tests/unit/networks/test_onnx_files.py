"""Backbones from ONNX files, compared with the same network in Keras, on real photographs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnx_files import write_onnx
from samples import batch_of
from similarity.data.features.extractor import load_extractor
from similarity.data.features.graphs import read_onnx, save_extractor
from similarity.data.features.networks import load_backbone
from similarity.data.quiet import prepare_tensorflow
from similarity.errors import UserError

SIZE = 64
MEAN, STD = [127 / 255] * 3, [128 / 255] * 3  # of EfficientNet-Lite
IMAGES = (None, SIZE, SIZE, 3)


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> None:
    prepare_tensorflow()


@pytest.mark.parametrize(("channels_first", "pooled"), [(True, False), (False, True)])
def test_features_are_those_of_the_same_network_in_keras(
    photographs: list[np.ndarray], tmp_path: Path, channels_first: bool, pooled: bool
) -> None:
    from keras import layers

    backbone = load_backbone("efficientnet_lite0", "imagenet", SIZE, [])
    network = (lambda pixels: layers.GlobalAveragePooling2D()(backbone.network(pixels))) if pooled else backbone.network
    layout = {"inputs_as_nchw": ["image0:0"], "outputs_as_nchw": [] if pooled else ["Identity:0"]}
    path = write_onnx(network, tmp_path / "model.onnx", IMAGES, **layout if channels_first else {})
    folder = tmp_path / "saved"
    folder.mkdir()
    save_extractor(folder, read_onnx(path, MEAN, STD, SIZE), path.name, "openvino", [])
    pixels, extractor = batch_of(photographs, SIZE, 7), load_extractor(folder, (4,))
    assert (extractor.image_size, extractor.description["tap_features"]) == (SIZE, {"final": 1280})
    np.testing.assert_allclose(extractor(pixels), backbone.predict(pixels), rtol=1e-3, atol=1e-3)


def test_each_channel_has_its_own_normalization(photographs: list[np.ndarray], tmp_path: Path) -> None:
    import tensorflow as tf

    path = write_onnx(lambda pixels: tf.reduce_mean(pixels, axis=(1, 2)), tmp_path / "means.onnx", IMAGES)
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    save_extractor(tmp_path, read_onnx(path, mean, std, SIZE), path.name, "openvino", [])
    pixels = batch_of(photographs, SIZE, 3)
    expected = (pixels.mean(axis=(1, 2)) / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(load_extractor(tmp_path, (3,))(pixels), expected, rtol=1e-4, atol=1e-4)


def test_what_is_no_image_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    import tensorflow as tf

    def flat(*tensors: Any) -> Any:
        return tf.concat([tf.reshape(tensor, (-1, SIZE)) for tensor in tensors], axis=0)

    def sequences(tensor: Any) -> Any:
        return tf.reduce_mean(tensor, axis=3)

    (tmp_path / "damaged.onnx").write_bytes(b"no network")
    gray = write_onnx(flat, tmp_path / "gray.onnx", (None, SIZE, SIZE, 1))
    refused = {
        tmp_path / "missing.onnx": "there is no file",
        tmp_path / "damaged.onnx": "OpenVINO cannot read",
        write_onnx(flat, tmp_path / "two.onnx", IMAGES, IMAGES): r"takes f32 .*, f32 .* export the image tower alone",
        gray: r"takes f32 \[.*64,64,1\] and gives .* float32 with three channels",
        write_onnx(sequences, tmp_path / "tokens.onnx", IMAGES): r"gives \[.*64,64\]; .* one vector per image",
    }
    for path, message in refused.items():
        with pytest.raises(UserError, match=message) as refusal:
            read_onnx(path, MEAN, STD, SIZE)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_network_of_another_size_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    def linear(images: Any) -> Any:
        return tf.matmul(tf.reshape(images, (-1, SIZE * SIZE * 3)), tf.ones((SIZE * SIZE * 3, 8)))

    path = write_onnx(linear, tmp_path / "linear.onnx", IMAGES)
    assert read_onnx(path, MEAN, STD, SIZE).output().partial_shape[1].get_length() == 8
    with pytest.raises(UserError, match=r"backbone\.image_size: .* does not take any number of images of 96 × 96"):
        read_onnx(path, MEAN, STD, 96)
