import os
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from projects import Project, copy_small_project
from samples import write_rocks
from similarity.images.decoding import read_image


@pytest.fixture
def rocks(tmp_path: Path) -> Path:
    """A folder with two classes of three images."""
    return write_rocks(tmp_path / "rocks", ("marble", "schist"), 3)


@pytest.fixture(scope="session")
def photographs() -> list[np.ndarray]:
    """Real photographs that come with matplotlib and scikit-learn: a portrait, a temple, a flower."""
    hopper = Path(mpl.get_data_path(), "sample_data", "grace_hopper.jpg")
    return [read_image(hopper), *load_sample_images().images]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Nothing of the user's settings and caches, and this interpreter as `python`."""
    home = tmp_path_factory.mktemp("home")
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(home / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
    }


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Project:
    """The small project after `dvc repro`, committed. Not to be changed: use `project`."""
    project = Project(tmp_path_factory.mktemp("projects") / "reproduced", environment)
    copy_small_project(project.folder)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit()
    project.run("dvc", "repro")
    project.commit()
    return project


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the reproduced project, to do with as one likes."""
    return reproduced.copy_to(tmp_path / "project")
