from pipeline.inputs import load_params

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import featurize
from projects import Project
from similarity.data.files import Outputs
from similarity.layout import FEATURES

IMAGES = 144


@pytest.fixture
def computed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], int]:
    """Runs `featurize` in a reproduced project with an empty cache; returns how many images were computed."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run() -> int:
        with Outputs() as outputs:
            featurize.main(load_params(), outputs)
        (count,) = re.findall(r"(\d+) images computed", capsys.readouterr().out)
        return int(count)

    return run


def test_features_are_the_same_bytes_with_and_without_the_cache(
    computed: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = FEATURES.read_bytes()
    assert (computed(), FEATURES.read_bytes()) == (IMAGES, before)
    assert (computed(), FEATURES.read_bytes()) == (0, before)
    database = tmp_path / "cache/image-similarity/features/cache.db"
    database.write_bytes(b"x" * database.stat().st_size)
    assert (computed(), FEATURES.read_bytes()) == (IMAGES, before)
    monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", "0")
    assert (computed(), FEATURES.read_bytes()) == (IMAGES, before)


def test_a_run_that_was_stopped_goes_on_where_it_was(
    computed: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(batches: Iterator[np.ndarray], *_: object) -> Iterator[np.ndarray]:
        yield next(batches)
        raise KeyboardInterrupt

    before = FEATURES.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(featurize, "track", stopped)
        computed()
    assert FEATURES.read_bytes() == before
    assert computed() == IMAGES - load_params().backbone.batch_size
    assert FEATURES.read_bytes() == before
