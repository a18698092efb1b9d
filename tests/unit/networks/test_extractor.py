"""The graph that ships, on real photographs."""

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import batch_of
from similarity.errors import UserError
from similarity.features.computing import compute_features, fingerprint
from similarity.features.extractor import as_affine, load_extractor, save_extractor
from similarity.features.networks import Backbone, load_backbone
from similarity.tensorflow_setup import prepare_tensorflow

TAPS = ["block1a", "block2b", "block4c", "final"]


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> None:
    prepare_tensorflow()


def save(folder: Path, backbone: Backbone, engine: str, photographs: list[np.ndarray], **description: object) -> Path:
    folder.mkdir()
    pictures = batch_of(photographs, backbone.model.input_shape[1], 3).round().astype(np.uint8)
    assert save_extractor(folder, backbone, engine, pictures, {"precision": "f32", **description}) > 0.99999
    return folder


def lowest_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(((ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)).min())


@pytest.fixture(scope="module")
def saved_by(tmp_path_factory: pytest.TempPathFactory, photographs: list[np.ndarray]) -> dict[str, Path]:
    """One network, saved for each engine."""
    folder, backbone = tmp_path_factory.mktemp("extractors"), load_backbone("efficientnet_lite0", "imagenet", 64, TAPS)
    description = {"name": "efficientnet_lite0", "taps": TAPS}
    return {
        engine: save(folder / engine, backbone, engine, photographs, **description) for engine in ("openvino", "keras")
    }


@pytest.fixture(scope="module")
def saved(saved_by: dict[str, Path]) -> Path:
    return saved_by["openvino"]


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_what_was_saved_gives_the_features_of_keras_for_every_image(
    engine: str, saved_by: dict[str, Path], photographs: list[np.ndarray]
) -> None:
    backbone = load_backbone("efficientnet_lite0", "imagenet", 64, TAPS)
    extractor, pixels = load_extractor(saved_by[engine], (4,)), batch_of(photographs, 64, 10)
    expected = np.asarray(backbone.model([backbone.preprocess(pixels)]))
    assert (extractor.image_size, extractor.features) == (64, expected.shape[1])
    assert lowest_cosine(extractor(pixels), expected) > 0.99999


@pytest.mark.parametrize("name", ["resnet50", "mobilenet", "efficientnet", "densenet", "convnext"])
def test_preprocessing_is_an_affine_map_of_each_pixel(name: str, photographs: list[np.ndarray]) -> None:
    import keras

    def preprocess(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(getattr(keras.applications, name).preprocess_input(pixels.copy()))

    matrix, offset = as_affine(preprocess)
    pixels = batch_of(photographs, 64, 3)
    np.testing.assert_allclose(pixels @ matrix + offset, preprocess(pixels), rtol=1e-5, atol=1e-4)


def test_resnet50_is_saved_with_its_own_preprocessing(photographs: list[np.ndarray], tmp_path: Path) -> None:
    import keras

    network = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    network.save_weights(tmp_path / "random.weights.h5")
    backbone = load_backbone("resnet50", str(tmp_path / "random.weights.h5"), 64, [])
    folder = save(tmp_path / "saved", backbone, "openvino", photographs)
    pixels = batch_of(photographs, 64, 4)
    preprocessed = keras.applications.resnet50.preprocess_input(pixels.copy())
    expected = np.asarray(network(preprocessed)).mean(axis=(1, 2))
    assert lowest_cosine(load_extractor(folder, (4,))(pixels), expected) > 0.9999


def test_saving_again_gives_the_same_bytes(saved: Path, photographs: list[np.ndarray], tmp_path: Path) -> None:
    backbone = load_backbone("efficientnet_lite0", "imagenet", 64, TAPS)
    again = save(tmp_path / "again", backbone, "openvino", photographs, name="efficientnet_lite0", taps=TAPS)
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (saved, again)]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 5


@pytest.mark.parametrize("batch_sizes", [(1,), (4,), (1, 4, 8), (16,)])
def test_features_depend_on_neither_batch_shape_nor_position(
    saved: Path, batch_sizes: tuple[int, ...], photographs: list[np.ndarray]
) -> None:
    pixels = batch_of(photographs, 64, 15)
    expected = load_extractor(saved, (15,))(pixels)
    extractor = load_extractor(saved, batch_sizes)
    assert lowest_cosine(extractor(pixels), expected) > 0.9999999
    for count in (1, 3, 15):
        np.testing.assert_array_equal(extractor(pixels[::-1][:count])[::-1], extractor(pixels)[-count:])
    assert extractor(pixels[:0]).shape == (0, 240 + 1280)


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_image_files_give_the_same_features_in_any_order(
    engine: str, saved_by: dict[str, Path], photographs: list[np.ndarray], tmp_path: Path
) -> None:
    """What makes the cache of features sound: an image's are the same whichever others are in its batch."""
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        Image.fromarray(photographs[i % 3][i * 9 :]).save(path)
    extractor = load_extractor(saved_by[engine], (4,))
    digests = [sha256(path.read_bytes()).hexdigest() for path in paths]
    blocks = list(compute_features(paths, digests, extractor, 4))
    assert [len(block) for block in blocks] == [4, 3]
    backwards = np.concatenate(list(compute_features(paths[::-1], digests[::-1], extractor, 4)))[::-1]
    np.testing.assert_array_equal(np.concatenate(blocks), backwards)


def test_a_fingerprint_tells_backbones_and_batch_sizes_apart(saved: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(saved, tmp_path / "other"))
    extractor = load_extractor(saved, (4,))
    assert fingerprint(other, extractor, 4) == fingerprint(saved, extractor, 4) != fingerprint(saved, extractor, 5)
    for path in saved.iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        (other / path.name).write_bytes(content)
        assert fingerprint(other, extractor, 4) != fingerprint(saved, extractor, 4)
        shutil.copyfile(path, other / path.name)


def test_a_machine_that_computes_something_else_is_refused(saved: Path) -> None:
    features = np.load(saved / "check_features.npy")
    try:
        np.save(saved / "check_features.npy", features[::-1])
        with pytest.raises(
            UserError,
            match=r"openvino disagrees on this machine .* set backbone\.engine to keras",
        ):
            load_extractor(saved, (4,))
    finally:
        np.save(saved / "check_features.npy", features)
