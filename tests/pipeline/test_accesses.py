"""Everything runs again in a clone: the same files come out, and no image is read in vain, nor the network reached."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
import yaml

from accesses import Access, accesses_of, watch
from projects import Project, stages_run
from service_process import ServiceProcesses
from similarity.data.dataset.manifest import read_manifest

OF_DVC = ("Running stage ", "> python ", "Use `dvc push`")


class Run(NamedTuple):
    """All accesses of every stage and of DVC, and what was printed."""

    accesses: list[Access]
    printed: str


@pytest.fixture(scope="module")
def clone(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone of the reproduced project that is watched, without results and caches, in a home of its own."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "home").mkdir()
    reproduced.run("git", "clone", "--quiet", str(reproduced.folder), str(folder / "project"))
    project = watch(reproduced._replace(folder=folder / "project"), folder)
    own = {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder / "home")}
    project.environment.update(own, CI="false")  # some telemetry is not sent elsewhere
    del project.environment["DVC_NO_ANALYTICS"]  # the project itself turns them off
    return project


@pytest.fixture(scope="module")
def complete_run(clone: Project) -> Run:
    printed = clone.run("dvc", "repro", "--force")
    return Run(accesses_of(clone), printed)


def stages_of(project: Project) -> list[str]:
    return list(yaml.safe_load((project.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


def images_opened(project: Project, accesses: list[Access]) -> Counter[tuple[str, str]]:
    """How often each stage but `fetch` opened each image, by its key."""
    images, scripts = project.folder.resolve() / "data/images", {f"{name}.py" for name in stages_of(project)[1:]}
    opened = (each for each in accesses if each.event == "open" and each.script in scripts)
    found = ((Path(each.script).stem, Path(each.what)) for each in opened if str(images) in each.what)
    return Counter((stage, path.relative_to(images).as_posix()) for stage, path in found if path.is_file())


def test_the_same_files_come_out(clone: Project, complete_run: Run, reproduced: Project) -> None:
    stages = stages_run(complete_run.printed)
    assert sorted(stages) == sorted(stages_of(clone))
    files = ("dvc.lock", "data/features.npy", "metrics/**/*")
    assert clone.contents(*files) == reproduced.contents(*files)
    assert re.findall(r"(\d+) images computed", complete_run.printed) == ["144"]
    own = [line for line in complete_run.printed.splitlines() if line and not line.startswith(OF_DVC)]
    assert list(dict.fromkeys(line.split(": ")[0] for line in own)) == stages  # nothing of TensorFlow


def test_an_image_is_read_by_scan_and_by_featurize_and_by_no_other_stage(clone: Project, complete_run: Run) -> None:
    """But for a sample of the test images, which `baselines` edits."""
    keys = read_manifest(clone.folder / "data/manifest.csv").keys
    opened = images_opened(clone, complete_run.accesses)
    by_baselines = {key for stage, key in opened if stage == "baselines"}
    expected = [(stage, key) for stage in ("scan", "featurize") for key in keys]
    assert opened == Counter([*expected, *(("baselines", key) for key in by_baselines)])
    assert 0 < len(by_baselines) < len(keys) / 4
    clone.run("python", "src/featurize.py")
    assert not images_opened(clone, accesses_of(clone))


def test_neither_a_stage_nor_a_command_reaches_the_network(clone: Project, complete_run: Run) -> None:
    """`export` is watched by its own test."""
    photograph, home = clone.folder / "photograph.jpg", Path(clone.environment["HOME"])
    photograph.write_bytes(next((clone.folder / "data/images").glob("*/*")).read_bytes() + b"not indexed")
    clone.run("python", "src/check.py")
    clone.run("python", "src/query.py", str(photograph))
    clone.run("python", "src/compare.py", "HEAD", "HEAD")
    services = ServiceProcesses(clone)
    with urlopen(f"{services.start()}/api/info") as response:  # noqa: S310  # the address is our own
        assert response.status == 200
    services.stop()
    accesses = complete_run.accesses + accesses_of(clone)
    scripts = {each.script for each in accesses}
    assert scripts >= {*(f"{stage}.py" for stage in stages_of(clone)), "query.py", "compare.py", "serve.py", "dvc"}
    assert not [each for each in accesses if each.is_foreign]
    assert not (home / "intel").exists()  # the client id of OpenVINO's telemetry


def test_a_lookup_would_be_seen(clone: Project) -> None:
    lookup = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)"
    clone.run("python", "-c", lookup)
    found = {each for each in accesses_of(clone) if each.is_foreign}
    assert found == {Access("-c", "socket.getaddrinfo", "example.org")}
