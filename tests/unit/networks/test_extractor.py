"""The folder that ships, on real photographs."""

import re
import shutil
from hashlib import sha256
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from PIL import Image

import export
from export import build_model, export_saved_model
from samples import batch_of
from similarity.data.features.computing import compute_features, fingerprint, load_pixels
from similarity.data.features.extractor import load_extractor, lowest_cosine, save_extractor, tapped_columns
from similarity.data.features.networks import Backbone
from similarity.embedding.model import EmbeddingModel, Head, VisualPart
from similarity.errors import UserError

FEATURES = 240 + 1280


def save(folder: Path, backbone: Backbone, engine: str = "openvino") -> Path:
    folder.mkdir()
    save_extractor(folder, backbone, "efficientnet_lite0", engine, list(backbone.tap_features))
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> Path:
    return save(tmp_path_factory.mktemp("extractor") / "saved", backbone)


@pytest.mark.parametrize(("engine", "batch_sizes"), [("openvino", (1, 4, 8)), ("keras", (4,))])
def test_what_was_saved_gives_the_features_of_keras_whatever_the_batch_shape_and_position(
    engine: str,
    batch_sizes: tuple[int, ...],
    saved: Path,
    backbone: Backbone,
    photographs: list[np.ndarray],
    tmp_path: Path,
) -> None:
    folder = saved if engine == "openvino" else save(tmp_path / "saved", backbone, engine)
    extractor, pixels = load_extractor(folder, batch_sizes), batch_of(photographs, 64, 15)
    expected = backbone.predict(pixels)
    assert (extractor.image_size, extractor.features) == (64, expected.shape[1])
    assert lowest_cosine(extractor(pixels), expected) > 0.999999
    np.testing.assert_allclose(extractor(pixels), expected, rtol=1e-3, atol=1e-4)
    for count in (1, 3, 15):
        np.testing.assert_array_equal(extractor(pixels[::-1][:count])[::-1], extractor(pixels)[-count:])
    assert extractor(pixels[:0]).shape == (0, FEATURES)


def test_image_files_give_the_same_features_in_any_order(
    saved: Path, photographs: list[np.ndarray], tmp_path: Path
) -> None:
    """What makes the cache of features sound: an image's are the same whichever others are in its batch."""
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        Image.fromarray(photographs[i % 3][i * 9 :][:100, :100]).save(path)
    paths += reversed(paths)
    blocks = list(compute_features([(path, sha256(path.read_bytes()).hexdigest()) for path in paths], saved, 4))
    assert [len(block) for block in blocks] == [4, 4, 4, 2]
    features = np.concatenate(blocks)
    np.testing.assert_array_equal(features, features[::-1])


def test_a_fingerprint_differs_between_backbones_and_batch_sizes(saved: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(saved, tmp_path / "other"))
    assert fingerprint(other, 4) == fingerprint(saved, 4) != fingerprint(saved, 5)
    content = (saved / "graph.bin").read_bytes()
    (other / "graph.bin").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fingerprint(other, 4) != fingerprint(saved, 4)


def test_columns_are_those_of_the_taps(saved: Path) -> None:
    chosen = tapped_columns(saved, ["final", "block2b"])
    assert chosen.tolist() == [*range(32, 32 + 48), *range(240, FEATURES)]
    assert tapped_columns(saved, []).tolist() == list(range(FEATURES))
    with pytest.raises(UserError, match="has no tap 'block2'; it has block1a, block2b, block4, final"):
        tapped_columns(saved, ["block2"])


@pytest.mark.parametrize(("class_size", "visual_size"), [(5, 3), (5, 0), (0, 3)])
def test_the_whole_model_in_keras_gives_the_embeddings_of_the_pipeline(
    class_size: int, visual_size: int, backbone: Backbone, photographs: list[np.ndarray]
) -> None:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    head = Head(drawn(FEATURES, class_size), drawn(class_size), drawn(class_size, 2), drawn(2))
    model = EmbeddingModel(head, VisualPart(drawn(FEATURES, visual_size), drawn(visual_size)), 0.3)
    pixels = batch_of(photographs, 64, 3)
    whole = build_model(backbone, model)(pixels)["embedding"]
    np.testing.assert_allclose(whole, model(backbone.predict(pixels)), rtol=1e-3, atol=1e-3)


def test_a_saved_model_gives_what_the_snippets_of_its_readme_say(
    photographs: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras import Input, Model, layers

    pixels = Input((8, 8, 3), name="pixels")
    export_saved_model(Model(pixels, {"embedding": layers.GlobalAveragePooling2D()(pixels)}), tmp_path)
    readme = Path(export.__file__).with_suffix(".md").read_text(encoding="utf-8").replace("<size>", "8")
    snippets = re.findall(r"```python\n(.*?)```", readme, re.S)
    (tmp_path / "snippets.py").write_text("\n".join(snippets[:2]), encoding="utf-8")
    Image.fromarray(photographs[0]).save(tmp_path / "photo.jpg", "PNG")
    monkeypatch.chdir(tmp_path)
    embedding = run_path("snippets.py")["embedding"][0]
    np.testing.assert_allclose(embedding, load_pixels(Path("photo.jpg"), 8).mean((0, 1)), rtol=1e-4)
