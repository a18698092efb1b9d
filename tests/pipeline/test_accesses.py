"""Everything runs again in a clone: the same files come out, and no image is read in vain, nor the network reached."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
import yaml

from projects import Project, stages_run
from service_process import ServiceProcesses
from similarity.data.dataset.manifest import read_manifest

LOGGING = """
import os, sys
log = open(os.environ["LOG_OF_ACCESSES"], "a", buffering=1, encoding="utf-8")
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        what = os.path.abspath(arguments[0])
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.connect"}:
        what = arguments[1] if event == "socket.connect" else arguments[0]
    else:
        return
    log.write(f"{os.path.basename(sys.argv[0])}\\t{event}\\t{what}\\n")
sys.addaudithook(note)
"""


class Access(NamedTuple):
    """What a script did, as Python's audit events call it, and to which file or host."""

    script: str
    event: str
    what: str


OF_DVC = ("Running stage ", "> python ", "Use `dvc push`")


class Run(NamedTuple):
    """All accesses of every stage and of DVC, and what was printed."""

    accesses: list[Access]
    printed: str


class Watched(NamedTuple):
    """A project whose Python processes write down the files that they open and the hosts that they look for."""

    project: Project
    home: Path
    log: Path

    def accesses(self) -> list[Access]:
        """Those since the last call."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        self.log.write_text("", encoding="utf-8")
        return [Access(*line.split("\t")) for line in lines]

    def images_opened(self, accesses: list[Access]) -> Counter[tuple[str, str]]:
        """How often each stage but `fetch` opened each image, by its key."""
        images, scripts = self.project.folder.resolve() / "data/images", {f"{name}.py" for name in self.stages[1:]}
        opened = (each for each in accesses if each.event == "open" and each.script in scripts)
        found = ((Path(each.script).stem, Path(each.what)) for each in opened if str(images) in each.what)
        return Counter((stage, path.relative_to(images).as_posix()) for stage, path in found if path.is_file())

    @property
    def stages(self) -> list[str]:
        return list(yaml.safe_load((self.project.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


@pytest.fixture(scope="module")
def watched(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A clone of the reproduced project without results and caches, in a home of its own."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "sitecustomize.py").write_text(LOGGING, encoding="utf-8")
    (folder / "home").mkdir()
    environment = {
        **reproduced.environment,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HOME": str(folder / "home"),
        "PYTHONPATH": str(folder),
        "LOG_OF_ACCESSES": str(folder / "accesses.tsv"),
        "CI": "false",  # some telemetry is not sent elsewhere
    }
    del environment["DVC_NO_ANALYTICS"]  # the project itself turns them off
    reproduced.run("git", "clone", "--quiet", str(reproduced.folder), str(folder / "project"))
    project = Project(folder / "project", environment)
    return Watched(project, folder / "home", folder / "accesses.tsv")


@pytest.fixture(scope="module")
def complete_run(watched: Watched) -> Run:
    printed = watched.project.run("dvc", "repro", "--force")
    return Run(watched.accesses(), printed)


def of_the_network(accesses: list[Access]) -> set[Access]:
    """Those to the network, but for this machine's own."""
    own = ("127.0.0.1", "localhost", "/")  # the last one, sockets in the file system
    found = (each for each in accesses if each.event != "open")
    return {each for each in found if not each.what.removeprefix("('").startswith(own)}


def test_the_same_files_come_out(watched: Watched, complete_run: Run, reproduced: Project) -> None:
    stages = stages_run(complete_run.printed)
    assert sorted(stages) == sorted(watched.stages)
    files = ("dvc.lock", "data/features.npy", "metrics/**/*")
    assert watched.project.contents(*files) == reproduced.contents(*files)
    assert re.findall(r"(\d+) images computed", complete_run.printed) == ["144"]
    own = [line for line in complete_run.printed.splitlines() if line and not line.startswith(OF_DVC)]
    assert list(dict.fromkeys(line.split(": ")[0] for line in own)) == stages  # nothing of TensorFlow


def test_an_image_is_read_by_scan_and_by_featurize_and_by_no_other_stage(watched: Watched, complete_run: Run) -> None:
    """But for a sample of the test images, which `baselines` edits."""
    keys = read_manifest(watched.project.folder / "data/manifest.csv").keys
    opened = watched.images_opened(complete_run.accesses)
    by_baselines = {key for stage, key in opened if stage == "baselines"}
    expected = [(stage, key) for stage in ("scan", "featurize") for key in keys]
    assert opened == Counter([*expected, *(("baselines", key) for key in by_baselines)])
    assert 0 < len(by_baselines) < len(keys) / 4
    watched.project.run("python", "src/featurize.py")
    assert not watched.images_opened(watched.accesses())


def test_neither_a_stage_nor_a_command_reaches_the_network(watched: Watched, complete_run: Run) -> None:
    project = watched.project
    photograph = watched.home / "photograph.jpg"
    photograph.write_bytes(next((project.folder / "data/images").glob("*/*")).read_bytes() + b"not indexed")
    project.run("python", "src/check.py")
    project.run("python", "src/query.py", str(photograph))
    project.run("python", "src/compare.py", "HEAD", "HEAD")
    project.run("python", "src/export.py", "--out", "exported")
    services = ServiceProcesses(project)
    with urlopen(f"{services.start()}/api/info") as response:  # noqa: S310  # the address is our own
        assert response.status == 200
    services.stop()
    accesses = complete_run.accesses + watched.accesses()
    scripts = {each.script for each in accesses}
    assert scripts >= {*(f"{stage}.py" for stage in watched.stages), "query.py", "export.py", "serve.py", "dvc"}
    assert not of_the_network(accesses)
    assert not (watched.home / "intel").exists()  # the client id of OpenVINO's telemetry


def test_a_lookup_would_be_seen(watched: Watched) -> None:
    lookup = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)"
    watched.project.run("python", "-c", lookup)
    assert of_the_network(watched.accesses()) == {Access("-c", "socket.getaddrinfo", "example.org")}
