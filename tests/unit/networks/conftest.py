"""What the tests of networks share."""

import pytest

from similarity.data.features.networks import Backbone, load_backbone
from similarity.data.quiet import prepare_tensorflow


@pytest.fixture(scope="session", autouse=True)
def tensorflow() -> None:
    prepare_tensorflow()


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """EfficientNet-Lite0, of small images, with four taps."""
    made = load_backbone("efficientnet_lite0", "imagenet", 64, ["block1a", "block2b", "block4", "final"])
    made.model.jit_compile = False  # to compile it would take longer than to run it
    return made
