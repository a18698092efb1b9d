import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from projects import Project

IMAGES = 144


@pytest.fixture
def alone(project: Project, tmp_path: Path) -> Project:
    """A reproduced project with an empty cache."""
    return project._replace(environment={**project.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")})


def computed(project: Project) -> int:
    """Run `featurize`; return how many images the backbone was run over."""
    (count,) = re.findall(r"(\d+) images computed", project.run("python", "src/featurize.py"))
    return int(count)


def features(project: Project) -> bytes:
    return (project.folder / "data/features.npy").read_bytes()


def test_features_are_the_same_bytes_with_and_without_the_cache(alone: Project, tmp_path: Path) -> None:
    before = features(alone)
    assert (computed(alone), features(alone)) == (IMAGES, before)
    assert (computed(alone), features(alone)) == (0, before)
    turned_off = alone._replace(environment={**alone.environment, "IMAGE_SIMILARITY_CACHE_GB": "0"})
    assert (computed(turned_off), features(turned_off)) == (IMAGES, before)
    database = tmp_path / "cache/image-similarity/features/cache.db"
    database.write_bytes(b"x" * database.stat().st_size)
    assert (computed(alone), features(alone)) == (IMAGES, before)


def stored(database: Path) -> int:
    """Count the images whose features are in the cache for good."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT COUNT(*) FROM Cache").fetchone()[0]
    except sqlite3.Error:  # it is not there yet
        return 0


def test_a_killed_run_goes_on_where_it_was(alone: Project, tmp_path: Path) -> None:
    alone.set_params(backbone={"batch_size": 1})
    before = features(alone)
    process = subprocess.Popen(["python", "src/featurize.py"], cwd=alone.folder, env=alone.environment)
    database = tmp_path / "cache/image-similarity/features/cache.db"
    deadline = time.monotonic() + 60
    while not stored(database):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert features(alone) == before
    assert 0 < computed(alone) < IMAGES
