import pipeline  # noqa: F401  # before NumPy is loaded

import os
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from filelock import FileLock
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from projects import UNTRAINED, Project, make_small_project, stages_run
from samples import write_wares
from similarity.data.images.decoding import read_image

# What is set where the tests happen to run must not decide what comes out; all processes that they start inherit this.
os.environ["PYTHONUTF8"] = "1"  # whatever the locale
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")  # the tests' servers are on this machine
OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # git's own, where one runs the tests
for name in (
    *PROXIES,
    *(proxy.upper() for proxy in PROXIES),
    *OF_A_HOOK,
    "IMAGE_SIMILARITY_CACHE_GB",
    "PYTHONDONTWRITEBYTECODE",
):
    os.environ.pop(name, None)
sys.dont_write_bytecode = False  # else all processes that tests start would compile the project again

SLOWEST_FIRST = ("networks", "service", "quality", "faults", "pipeline")  # the folders, and then the others
SHARING = {
    "test_accesses.py",
    "test_endings.py",
    "test_kills.py",
    "test_mixed_files.py",
    "test_odd_files.py",
    "test_publishing.py",
    "test_run_cache.py",
    "test_unlabeled.py",
}  # a project


@pytest.fixture
def wares(tmp_path: Path) -> Path:
    """A folder with two classes of three images."""
    return write_wares(tmp_path / "wares", ("jug", "vase"), 3)


@pytest.fixture
def unicode_names() -> None:
    """Skips a test if this process, not one that it starts, cannot name files in any script: -n0 with LC_ALL=C."""
    if sys.getfilesystemencoding() != "utf-8":
        pytest.skip(f"names of files are in {sys.getfilesystemencoding()} here")


@pytest.fixture(scope="session")
def photographs() -> list[np.ndarray]:
    """Real photographs that come with matplotlib and scikit-learn: a portrait, a temple, a flower."""
    from sklearn.datasets import load_sample_images  # takes long

    hopper = Path(mpl.get_data_path(), "sample_data", "grace_hopper.jpg")
    return [read_image(hopper), *load_sample_images().images]


class SharingTogether(LoadScopeScheduling):
    """Keeps tests in one process that share what is slow to make; each of the others goes where there is room."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.split("::")[0])
        if path.parent.name in {"networks", "service"}:  # TensorFlow; a service and a browser
            return path.parent.name
        alone = path.parent.name in {"faults", "pipeline"} and path.name not in SHARING
        return nodeid if alone else path.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets no process wait long for the other at the end."""
    order = {name: place for place, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharingTogether:
    return SharingTogether(config, log)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A temporary folder of all processes that run tests."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture(scope="session")
def environment(shared_folder: Path) -> dict[str, str]:
    """Nothing of the user's settings and caches, and this interpreter as `python`."""
    home = shared_folder / "home"
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


def made_once(project: Project, make: Callable[[Project], object]) -> Project:
    """The project, made by the first process that needs it."""
    made = project.folder.with_suffix(".made")
    with FileLock(project.folder.with_suffix(".lock")):
        if not made.exists():
            make(project)
            made.touch()
    return project


@pytest.fixture(scope="session")
def reproduced(shared_folder: Path, environment: dict[str, str]) -> Project:
    """The small project after `dvc repro`, committed. Not to be changed: use `project`."""

    def make(project: Project) -> None:
        make_small_project(project)
        project.run("dvc", "repro")
        project.commit()

    return made_once(Project(shared_folder / "reproduced", environment), make)


@pytest.fixture(scope="session")
def untrained(reproduced: Project, shared_folder: Path) -> Project:
    """The reproduced project after an experiment, not committed, with `UNTRAINED`. Not to be changed either."""

    def make(project: Project) -> None:
        reproduced.copy_to(project.folder)
        changes = (f"{section}.{key}={value}" for section, keys in UNTRAINED.items() for key, value in keys.items())
        printed = project.run("dvc", "exp", "run", "--name", "untrained", *(f"-S{change}" for change in changes))
        assert set(stages_run(printed)) == {"train", "embed", "neighbors", "ann", "novelty", "evaluate", "report"}

    return made_once(reproduced._replace(folder=shared_folder / "untrained"), make)


@pytest.fixture
def fresh(tmp_path: Path, environment: dict[str, str]) -> Project:
    """The small project before `dvc repro`, committed."""
    project = Project(tmp_path / "project", environment)
    make_small_project(project)
    return project


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the reproduced project, to do with as one likes."""
    return reproduced.copy_to(tmp_path / "project")


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same copy as the working folder."""
    return project.enter(monkeypatch)
