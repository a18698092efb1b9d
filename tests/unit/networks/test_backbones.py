"""The networks, on real photographs."""

from pathlib import Path

import numpy as np
import pytest

from samples import batch_of
from similarity.errors import UserError
from similarity.features.efficientnet_lite import build_efficientnet_lite, load_imagenet_weights, scale_pixels
from similarity.features.extractor import tapped_columns
from similarity.features.networks import Backbone, load_backbone, tapped_layer
from similarity.images.resizing import resize
from similarity.tensorflow_setup import prepare_tensorflow

TAPS = ["block1a", "block2b", "block4c"]
MILITARY_UNIFORM, BELL_COTE, PALACE = 652, 442, 698  # indices of ImageNet's classes


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> None:
    prepare_tensorflow()


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("efficientnet_lite0", "imagenet", 64, TAPS)


@pytest.mark.parametrize(
    ("name", "size", "weights"),
    [
        ("efficientnet_lite0", 224, 4_652_008),
        ("efficientnet_lite1", 240, 5_416_680),
        ("efficientnet_lite2", 260, 6_092_072),
    ],
)
def test_efficientnet_lite_recognizes_what_is_in_photographs(
    name: str, size: int, weights: int, photographs: list[np.ndarray]
) -> None:
    network = build_efficientnet_lite(name, size, include_top=True)
    load_imagenet_weights(network)
    assert sum(np.asarray(weight).size for weight in network.trainable_weights) == weights  # as published
    pixels = np.stack([resize(photograph, size) for photograph in photographs])
    portrait, temple, _ = network.predict(scale_pixels(pixels), verbose=0).argmax(axis=1)
    assert portrait == MILITARY_UNIFORM
    assert temple in {BELL_COTE, PALACE}


def test_taps_are_the_means_and_deviations_over_space(backbone: Backbone, photographs: list[np.ndarray]) -> None:
    from keras import Model

    network = build_efficientnet_lite("efficientnet_lite0", 64)
    load_imagenet_weights(network)
    pixels = backbone.preprocess(batch_of(photographs, 64, 3))
    maps = Model(network.inputs, [network.get_layer(tap).output for tap in TAPS]).predict(pixels, verbose=0)
    expected = np.concatenate([part for each in maps for part in (each.mean((1, 2)), each.std((1, 2)))], axis=1)
    assert expected.shape[1] == 2 * (16 + 24 + 80)
    np.testing.assert_allclose(backbone.model.predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-4)


def test_no_tap_at_all_is_the_mean_of_the_last_feature_map(photographs: list[np.ndarray]) -> None:
    backbone = load_backbone("efficientnet_lite0", "imagenet", 64, [])
    pixels = backbone.preprocess(batch_of(photographs, 64, 3))
    maps = np.asarray(backbone.network(pixels))
    np.testing.assert_allclose(np.asarray(backbone.model([pixels])), maps.mean((1, 2)), rtol=1e-4, atol=1e-4)


def test_a_weights_file_of_another_network_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    backbone.model.save_weights(path)
    with pytest.raises(UserError, match=r"backbone\.weights: .* does not fit resnet50") as refusal:
        load_backbone("resnet50", str(path), 64, [])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "weights", "size", "taps", "message"),
    [
        ("resnet51", "imagenet", 64, [], "backbone.name: 'resnet51' is unknown; .*resnet50"),
        ("efficientnet_lite0", "none.h5", 64, [], "backbone.weights: there is no file none.h5"),
        (
            "efficientnet_lite0",
            "imagenet",
            64,
            ["block9z"],
            "backbone.taps: efficientnet_lite0 has no layer 'block9z'; near",
        ),
        ("resnet50", "imagenet", 16, [], "backbone.image_size: 16 does not fit resnet50"),
    ],
)
def test_what_cannot_be_built_is_told_with_the_parameter(
    name: str, weights: str, size: int, taps: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        load_backbone(name, weights, size, taps)
    assert "\n" not in str(refusal.value)


def test_without_network_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"run once with network access .* or set backbone\.weights") as refusal:
        load_backbone("mobilenet", "imagenet", 32, [])
    assert "\n" not in str(refusal.value)


def test_the_beginning_of_a_name_taps_the_last_layer_that_begins_so() -> None:
    short = load_backbone("efficientnet_lite0", "imagenet", 32, ["block1", "block4", "final"])
    full = load_backbone("efficientnet_lite0", "imagenet", 32, ["block1a", "block4c", "final"])
    pixels = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(short.model.predict_on_batch(pixels), full.model.predict_on_batch(pixels))
    assert short.tap_features == {"block1": 32, "block4": 160, "final": 1280}


@pytest.mark.parametrize(
    ("tap", "layer"), [("block_1", "block_1_add"), ("block_1_add", "block_1_add"), ("block_12", "block_12_add")]
)
def test_a_number_is_not_the_beginning_of_a_longer_one(tap: str, layer: str) -> None:
    layers = ["block_1_expand", "block_1_add", "block_12_expand", "block_12_add"]
    assert tapped_layer("network", layers, tap) == layer
    with pytest.raises(UserError, match=r"backbone\.taps: network has no layer 'block_2'; near it are: block_"):
        tapped_layer("network", layers, "block_2")


def test_columns_are_those_of_the_taps(tmp_path: Path) -> None:
    (tmp_path / "backbone.json").write_text(
        '{"tap_features": {"block1": 3, "block4": 2, "final": 4}}', encoding="utf-8"
    )
    assert tapped_columns(tmp_path, ["final", "block4"]).tolist() == [3, 4, 5, 6, 7, 8]
    assert tapped_columns(tmp_path, []).tolist() == list(range(9))
    with pytest.raises(UserError, match="has no tap 'block2'; it has block1, block4, final"):
        tapped_columns(tmp_path, ["block2"])
