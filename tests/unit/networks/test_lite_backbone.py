"""The networks that are built without TensorFlow, beside the same in Keras, on real photographs."""

from pathlib import Path

import numpy as np
import pytest

from samples import batch_of
from similarity.errors import UserError
from similarity.features.efficientnet_lite import VARIANTS
from similarity.features.extractor import load_extractor, save_extractor
from similarity.features.lite_backbone import load_lite_backbone
from similarity.features.networks import load_backbone
from similarity.params import load_params
from similarity.tensorflow_setup import prepare_tensorflow

LAYERS_OF_ALL_KINDS = [
    "pixels", "stem_conv", "stem_bn", "stem", "block1a", "block2a_expand_conv", "block2b_depthwise_bn", "block2b",
    "block3a_project_conv", "block5", "block6b_project", "top_conv", "top", "final",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> None:
    prepare_tensorflow()


@pytest.mark.parametrize(
    ("name", "size", "taps"),
    [
        *((name, 96, load_params(Path("params.yaml")).backbone.taps) for name in VARIANTS),
        ("efficientnet_lite0", 97, LAYERS_OF_ALL_KINDS),
        ("efficientnet_lite0", 64, []),
    ],
)
def test_features_are_those_of_the_network_in_keras_tap_by_tap(
    name: str, size: int, taps: list[str], photographs: list[np.ndarray], tmp_path: Path
) -> None:
    ours, theirs = load_lite_backbone(name, size, taps), load_backbone(name, "imagenet", size, taps)
    assert ours.tap_features == theirs.tap_features
    assert (ours.image_size, ours.features) == (theirs.image_size, theirs.features)
    pixels = batch_of(photographs, size, 4)
    description = {"name": name, "taps": taps, "precision": "f32"}
    assert save_extractor(tmp_path, ours, "openvino", pixels.round().astype(np.uint8), description) > 0.999999
    computed, expected = load_extractor(tmp_path, (4,))(pixels), theirs.predict(pixels)
    ends = np.cumsum(list(ours.tap_features.values()))[:-1]
    for mine, other in zip(np.split(computed, ends, axis=1), np.split(expected, ends, axis=1), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


def test_a_layer_that_there_is_not_is_told() -> None:
    with pytest.raises(UserError, match=r"backbone\.taps: efficientnet_lite0 has no layer 'block9z'; near it are"):
        load_lite_backbone("efficientnet_lite0", 64, ["block9z"])
