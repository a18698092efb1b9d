"""Backbones from ONNX files, beside the same network in Keras, on real photographs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnx_files import write_onnx
from samples import batch_of
from similarity.errors import UserError
from similarity.features.extractor import load_extractor, save_extractor
from similarity.features.networks import load_backbone
from similarity.features.onnx_backbone import load_onnx_backbone
from similarity.tensorflow_setup import prepare_tensorflow

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
    keras_backbone = load_backbone("efficientnet_lite0", "imagenet", SIZE, ["final"])
    network = keras_backbone.model if pooled else keras_backbone.network
    layout = {"inputs_as_nchw": ["image0:0"], "outputs_as_nchw": [] if pooled else ["Identity:0"]}
    path = write_onnx(network, tmp_path / "model.onnx", IMAGES, **layout if channels_first else {})
    backbone = load_onnx_backbone(path, MEAN, STD, SIZE)
    assert backbone.channels_first == channels_first
    pixels = batch_of(photographs, SIZE, 7)
    expected = keras_backbone.predict(pixels)
    assert backbone.features == expected.shape[1]
    np.testing.assert_allclose(backbone.predict(pixels), expected, rtol=1e-3, atol=1e-3)
    (tmp_path / "saved").mkdir()
    description = {"name": path.name, "taps": [], "precision": "f32"}
    assert save_extractor(tmp_path / "saved", backbone, "openvino", pixels.astype(np.uint8), description) > 0.99999
    np.testing.assert_allclose(load_extractor(tmp_path / "saved", (4,))(pixels), expected, rtol=1e-3, atol=1e-3)


def test_what_is_no_image_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    import tensorflow as tf

    def flat(*tensors: Any) -> Any:
        return tf.concat([tf.reshape(tensor, (-1, SIZE)) for tensor in tensors], axis=0)

    def sequences(tensor: Any) -> Any:
        return tf.reduce_mean(tensor, axis=3)

    (tmp_path / "damaged.onnx").write_bytes(b"no network")
    refused = {
        tmp_path / "missing.onnx": "there is no file",
        tmp_path / "damaged.onnx": "OpenVINO cannot read",
        write_onnx(flat, tmp_path / "two.onnx", IMAGES, IMAGES): "has the inputs image0.*, image1.*; export the image",
        write_onnx(
            flat, tmp_path / "gray.onnx", (None, SIZE, SIZE, 1)
        ): r"takes f32 \[.*64,64,1\]; float32 of three channels",
        write_onnx(sequences, tmp_path / "tokens.onnx", IMAGES): r"gives \[.*64,64\]; one vector per image",
    }
    for path, message in refused.items():
        with pytest.raises(UserError, match=message) as refusal:
            load_onnx_backbone(path, MEAN, STD, SIZE)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_network_of_another_size_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    def linear(images: Any) -> Any:
        return tf.matmul(tf.reshape(images, (-1, SIZE * SIZE * 3)), tf.ones((SIZE * SIZE * 3, 8)))

    path = write_onnx(linear, tmp_path / "linear.onnx", IMAGES)
    assert load_onnx_backbone(path, MEAN, STD, SIZE).features == 8
    with pytest.raises(UserError, match=r"backbone\.image_size: .* does not take any number of images of 96 × 96"):
        load_onnx_backbone(path, MEAN, STD, 96)
