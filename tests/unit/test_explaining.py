from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from similarity.embedding.model import EmbeddingModel, Head, VisualPart, save_embedder
from similarity.engine.embedding import load_explainer

SIDE = 4
RED, GREEN = (200, 0, 0), (0, 200, 0)


def write_embedder(folder: Path, *, pools: bool) -> None:
    """Write an embedder whose features are pixels: the first one, if `pools` the mean color, and the last one."""
    pixels = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    flat = ops.reshape(pixels, [-1, SIDE * SIDE * 3], special_zero=False)
    first, last = (ops.gather(flat, each, 1) for each in (range(3), range(SIDE * SIDE * 3 - 3, SIDE * SIDE * 3)))
    means = [ops.reduce_mean(ops.relu(pixels), [1, 2])] if pools else []
    features = ops.concat([first, *means, last], 1)
    ov.save_model(ov.Model([features], [pixels]), folder / "graph.xml")
    kernel = np.zeros((6 + 3 * pools, 3), np.float32)
    kernel[3:6] = np.eye(3)
    head = Head(kernel, np.zeros(3, np.float32), np.zeros((3, 1), np.float32), np.zeros(1, np.float32))
    visual = VisualPart(np.zeros((len(kernel), 0), np.float32), np.zeros(0, np.float32))
    save_embedder(folder, folder, EmbeddingModel(head, visual, 0))


def test_the_places_that_two_images_share_are_found(tmp_path: Path) -> None:
    write_embedder(tmp_path, pools=True)
    explain = load_explainer(tmp_path)
    assert explain is not None
    half, red = np.empty((2, SIDE, SIDE, 3), np.float32)
    half[:, :2], half[:, 2:], red[:] = RED, GREEN, RED
    found = explain(np.stack([half, red]))
    np.testing.assert_allclose(found[0], [[1, 1, 0, 0]] * SIDE)
    np.testing.assert_allclose(found[1], np.ones((SIDE, SIDE)))
    assert not explain(np.stack([0 * red, red])).any()  # nothing is shared with black


def test_without_a_feature_map_or_a_graph_there_is_nothing_to_explain_by(tmp_path: Path) -> None:
    write_embedder(tmp_path, pools=False)
    assert load_explainer(tmp_path) is None
    (tmp_path / "graph.xml").unlink()  # as with Keras
    assert load_explainer(tmp_path) is None
