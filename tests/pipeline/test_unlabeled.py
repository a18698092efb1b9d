"""Folders by date and a network of one's own: the visual part alone serves, and what needs labels is left out."""

import shutil
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from PIL import Image

from projects import Project
from similarity.data.sources.ceramics import CLASSES, draw_picture

KEY = "unlabeled/2003__12__jug.png"


def write_network(path: Path) -> None:
    """Write an ONNX file of random convolutions."""
    kernel = np.random.default_rng(0).standard_normal((32, 3, 5, 5)).astype(np.float32)
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["": 18]>
        network (float[n, 3, 48, 48] images) => (float[n, 32, 22, 22] maps) {
            sums = Conv <strides = [2, 2]> (images, kernel)
            maps = Relu (sums)
        }
        """
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
    onnx.save(model, path)


@pytest.fixture(scope="module")
def unlabeled(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The project run on folders by date with an ONNX file, not to be changed, and what was printed."""
    photos, network = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("networks") / "net.onnx"
    write_network(network)
    for number in range(5):
        month = photos / f"200{number}" / "12"
        month.mkdir(parents=True)
        for label in CLASSES:
            Image.fromarray(draw_picture(label, 1, number, 32)).save(month / f"{label}.png")
    project = reproduced.copy_to(tmp_path_factory.mktemp("projects") / "unlabeled")
    project.set_params(
        data={"source": str(photos), "labels": "none"},
        backbone={"name": str(network), "normalization": [[0.5, 0.5, 0.5], [0.2, 0.2, 0.2]], "taps": []},
        embedding={"visual_taps": []},
    )
    return project, project.run("dvc", "repro")


def test_nothing_is_learned_and_figures_that_need_labels_are_left_out(unlabeled: tuple[Project, str]) -> None:
    project, printed = unlabeled
    assert "train: 0 classes, so there is nothing to learn: the visual part alone is used" in printed
    assert "32 features by openvino" in printed
    assert project.read_json("metrics/details/scan.json")["unlabeled"] == 30
    assert project.read_json("metrics/train.json") == project.read_json("metrics/retrieval.json") == {}
    assert "refused_held_out" not in project.read_json("metrics/details/novelty.json")
    assert project.read_json("metrics/likeness.json")["same_image_at_1"] > 0.6
    assert set(project.read_json("metrics/details/baselines.json")["pixels"]) == {"same_image_at_1", "same_image_at_10"}
    for name in ("per_class", "confusion"):
        assert project.read_table(f"metrics/plots/{name}.csv") == []
    assert "index.html" in project.run("dvc", "plots", "show", "--out", "report")
    assert "change" in project.run("dvc", "metrics", "diff").lower()
    assert "no labeled valid images in common" in project.run("python", "src/compare.py", "HEAD", "workspace", status=1)


def test_embeddings_are_the_visual_part(unlabeled: tuple[Project, str]) -> None:
    project, _ = unlabeled
    embeddings = np.load(project.folder / "models/embeddings.npy")
    assert embeddings.shape == (30, 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 0.4**0.5, rtol=1e-5)  # visual_weight


def test_images_are_found_by_key_and_by_file(unlabeled: tuple[Project, str], tmp_path: Path) -> None:
    project, _ = unlabeled
    assert len(project.run("python", "src/query.py", KEY).splitlines()) == 1 + 10
    shutil.copyfile(project.folder / "data/images" / KEY, tmp_path / "photo.png")
    found = project.run("python", "src/query.py", str(tmp_path / "photo.png"), "-k", "1", "--label", "unlabeled")
    assert found.splitlines()[1].split() == ["1", "100", "same", "picture", KEY]
    refused = project.run("python", "src/query.py", KEY, "--look", "0.5", status=1)
    assert "these embeddings have one part only" in refused
    refused = project.run("python", "src/export.py", status=1)
    assert refused.startswith("error: the backbone is net.onnx, which Keras cannot export")
