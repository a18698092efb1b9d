"""Classes that are held out: what is measured where the source gives splits that leave nothing to ask."""

from pipeline.inputs import load_params

import json
from pathlib import Path

import numpy as np
import pytest

import evaluate
from projects import ROOT
from similarity.data.dataset.manifest import ImageRecord, Manifest


@pytest.mark.parametrize("empty", ["test", "valid"])
def test_without_images_to_ask_or_to_choose_by_nothing_is_measured(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(ROOT / "params.yaml")
    (tmp_path / "models/backbone").mkdir(parents=True)
    described = json.dumps({"tap_features": dict.fromkeys(params.embedding.visual_taps, 2)})
    (tmp_path / "models/backbone/backbone.json").write_text(described, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    manifest = Manifest([ImageRecord(f"{label}/{i}", label, f"{label}{i}", 8, 8) for label in "abcd" for i in range(4)])
    splits = {name: np.arange(16)[i::3] for i, name in enumerate(("train", "valid", "test"))}
    splits[empty] = np.empty(0, np.int64)
    features = np.random.default_rng(0).random((16, 8), np.float32)
    assert evaluate.measure_novel_classes(features, manifest, splits, params) == {}
