"""What was computed from an image is looked up by its content, so that a run does only what is new."""

from pipeline.inputs import load_params

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import featurize
from baselines import edit_images
from projects import Project, run_stages, splits_of
from samples import write_wares
from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import read_manifest
from similarity.layout import FEATURES, MANIFEST

Run = Callable[..., list[int]]
REPRODUCED = 144  # images
IMAGES, ADDED = 70, 4  # of each class


@pytest.fixture
def run(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs stages in a reproduced project with an empty cache; returns how many images were decoded, and computed."""
    environment = {**project.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    project._replace(environment=environment).enter(monkeypatch)

    def run(*stages: str) -> list[int]:
        run_stages(*stages)
        return [int(count) for count in re.findall(r"(\d+) images? (?:decoded|computed)", capsys.readouterr().out)]

    return run


def test_features_are_the_same_bytes_with_and_without_the_cache(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = FEATURES.read_bytes()
    assert (run("featurize"), FEATURES.read_bytes()) == ([REPRODUCED], before)
    assert (run("featurize"), FEATURES.read_bytes()) == ([0], before)
    database = tmp_path / "cache/image-similarity/features/cache.db"
    database.write_bytes(b"x" * database.stat().st_size)
    assert (run("featurize"), FEATURES.read_bytes()) == ([REPRODUCED], before)
    monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", "0")
    assert (run("featurize"), FEATURES.read_bytes()) == ([REPRODUCED], before)


def test_entries_of_the_cache_that_are_too_short_are_computed_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    get_many, before, records = ContentCache.get_many, FEATURES.read_bytes(), read_manifest(MANIFEST).records[:2]
    edited = edit_images(records)
    run("featurize")

    def shortened(cache: ContentCache, keys: list[str]) -> dict[str, bytes]:
        return {key: entry[:-4] for key, entry in get_many(cache, keys).items()}

    monkeypatch.setattr(ContentCache, "get_many", shortened)
    assert (run("featurize"), FEATURES.read_bytes()) == ([REPRODUCED], before)
    np.testing.assert_array_equal(edit_images(records), edited)


def test_a_run_that_was_stopped_goes_on_where_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(batches: Iterator[np.ndarray], *_: object) -> Iterator[np.ndarray]:
        yield next(batches)
        raise KeyboardInterrupt

    before = FEATURES.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(featurize, "track", stopped)
        run("featurize")
    assert FEATURES.read_bytes() == before
    assert run("featurize") == [REPRODUCED - load_params().backbone.batch_size]
    assert FEATURES.read_bytes() == before


def test_added_images_alone_are_decoded_and_featurized_and_move_no_other(
    run: Run, project: Project, tmp_path: Path
) -> None:
    every, source = write_wares(tmp_path / "all", ("jug", "vase"), IMAGES + ADDED, size=48), tmp_path / "source"
    added = [*every.glob(f"*/{IMAGES:03d}.png"), *every.glob("*/07[123].png")]
    shutil.copytree(every, source)
    for path in added:
        (source / path.relative_to(every)).unlink()
    project.set_params(data={"source": str(source)})
    assert run("fetch", "scan", "split", "featurize") == [2 * IMAGES] * 2
    before = splits_of(project)
    assert len(before) == 2 * IMAGES

    for path in added:
        shutil.copyfile(path, source / path.relative_to(every))
    (source / "jug/000.png").rename(source / "jug/renamed.png")
    assert run("fetch", "scan", "split", "featurize") == [2 * ADDED] * 2
    after = splits_of(project)
    assert len(after) == 2 * (IMAGES + ADDED)
    before["jug/renamed.png"] = before.pop("jug/000.png")
    assert {key: split for key, split in after.items() if key in before} == before
