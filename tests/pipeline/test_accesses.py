"""Everything runs again in a clone: the same files come out, and no image is read in vain, nor the network reached."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from accesses import Access, accesses_of, watch
from projects import Project, stages_run
from service_process import client_of
from similarity.data.dataset.manifest import read_manifest
from similarity.layout import IMAGES, MANIFEST

OF_DVC = ("Running stage ", "> python ", "Use `dvc push`")


class Clone(NamedTuple):
    """A clone in which all stages ran, all their accesses and those of DVC, and what was printed."""

    project: Project
    accesses: list[Access]
    printed: str


@pytest.fixture(scope="module")
def clone(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of the reproduced project that is watched, without its results and caches, in a home of its own."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "home").mkdir()
    reproduced.run("git", "clone", "--quiet", str(reproduced.folder), str(folder / "project"))
    project = watch(reproduced._replace(folder=folder / "project"), folder)
    own = {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder / "home")}
    project.environment.update(own, CI="false")  # some telemetry is not sent elsewhere
    del project.environment["DVC_NO_ANALYTICS"]  # the project itself turns them off
    printed = project.run("dvc", "repro", "--force")
    return Clone(project, accesses_of(project), printed)


def stages_of(project: Project) -> list[str]:
    return list(yaml.safe_load((project.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


def test_the_same_files_come_out(clone: Clone, reproduced: Project) -> None:
    stages = stages_run(clone.printed)
    assert sorted(stages) == sorted(stages_of(clone.project))
    files = ("dvc.lock", "data/features.npy", "metrics/**/*")
    assert clone.project.contents(*files) == reproduced.contents(*files)
    assert re.findall(r"(\d+) images computed", clone.printed) == ["144"]
    own = [line for line in clone.printed.splitlines() if line and not line.startswith(OF_DVC)]
    assert list(dict.fromkeys(line.split(": ")[0] for line in own)) == stages  # nothing of TensorFlow


def test_an_image_is_read_by_scan_and_by_featurize_and_by_no_other_stage(clone: Clone) -> None:
    """But for a sample of the test images, which `baselines` edits; `fetch` writes them."""
    keys = read_manifest(clone.project.folder / MANIFEST).keys
    images = clone.project.folder.resolve() / IMAGES
    opened = Counter(
        (Path(each.script).stem, Path(each.what).relative_to(images).as_posix())
        for each in clone.accesses
        if each.event == "open" and each.script not in {"dvc", "fetch.py"} and Path(each.what).is_relative_to(images)
    )
    by_baselines = {key for stage, key in opened if stage == "baselines"}
    stages = ("scan", "scan", "featurize")  # `scan` looks up by content what it need not decode
    expected = [(stage, key) for stage in stages for key in keys]
    assert opened == Counter([*expected, *(("baselines", key) for key in by_baselines)])
    assert 0 < len(by_baselines) < len(keys) / 4


def test_neither_a_stage_nor_a_command_reaches_the_network(clone: Clone) -> None:
    """`export` is watched by its own test."""
    project = clone.project
    photograph, home = project.folder / "photograph.jpg", Path(project.environment["HOME"])
    photograph.write_bytes(next((project.folder / IMAGES).glob("*/*")).read_bytes() + b"not indexed")
    project.run("python", "src/check.py")
    project.run("python", "src/query.py", str(photograph))
    project.run("python", "src/compare.py", "HEAD", "HEAD")
    with client_of(project) as client:
        assert client.get("/api/info").status_code == 200
    accesses = clone.accesses + accesses_of(project)
    scripts = {each.script for each in accesses}
    assert scripts >= {*(f"{stage}.py" for stage in stages_of(project)), "query.py", "compare.py", "serve.py", "dvc"}
    assert not [each for each in accesses if each.is_foreign]
    assert not (home / "intel").exists()  # the client id of OpenVINO's telemetry
    lookup = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)"
    project.run("python", "-c", lookup)  # which is seen
    found = {each for each in accesses_of(project) if each.is_foreign}
    assert found == {Access("-c", "socket.getaddrinfo", "example.org")}
