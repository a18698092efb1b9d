"""What the stages and commands reach for: image files, and the network."""

from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from projects import Project
from service_process import ServiceProcesses
from similarity.dataset.manifest import read_manifest

LOGGING = """
import os, sys
log = open(os.environ["LOG_OF_ACCESSES"], "a", buffering=1)
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


class Watched:
    """A project whose Python processes write down the files that they open and the hosts that they look for."""

    def __init__(self, project: Project, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(LOGGING)
        self._log = folder / "accesses.tsv"
        watching = {"PYTHONPATH": str(folder), "LOG_OF_ACCESSES": str(self._log)}
        self.project = project._replace(environment={**project.environment, **watching})

    def take(self) -> list[tuple[str, str, str]]:
        """The accesses since the last call: of which script, what it did, and to what."""
        lines = self._log.read_text().splitlines()
        self._log.write_text("")
        return [(script, event, what) for script, event, what in (line.split("\t") for line in lines)]

    def take_images(self) -> Counter[tuple[str, str]]:
        """How often each script opened each image, by its key."""
        images = self.project.folder.resolve() / "data/images"
        opened = ((Path(script).stem, Path(what)) for script, event, what in self.take() if event == "open")
        return Counter((stage, path.relative_to(images).as_posix()) for stage, path in opened if images in path.parents)


@pytest.fixture
def watched(project: Project, tmp_path: Path) -> Watched:
    """A reproduced project without its cache of features."""
    without_cache = {**project.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    return Watched(project._replace(environment=without_cache), tmp_path / "watching")


def of_the_network(accesses: list[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Those to the network, but for this machine's own."""
    own = ("127.0.0.1", "localhost", "/")  # the last one, sockets in the file system
    found = (access for access in accesses if access[1] != "open")
    return {access for access in found if not access[2].removeprefix("('").startswith(own)}


def stages(project: Project) -> list[str]:
    return list(yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"])


def test_an_image_is_read_by_scan_and_by_featurize_and_by_no_other_stage(watched: Watched) -> None:
    """But for a sample of the test images, which `variants` changes; and `featurize` reads what its cache lacks."""
    keys = read_manifest(watched.project.folder / "data/manifest.csv").keys
    for stage in stages(watched.project)[1:]:
        watched.project.run("python", f"src/{stage}.py")
    opened = watched.take_images()
    by_variants = {key for stage, key in opened if stage == "variants"}
    expected = {(stage, key): 1 for stage in ("scan", "featurize") for key in keys}
    assert opened == expected | {("variants", key): 1 for key in by_variants}
    assert 0 < len(by_variants) < len(keys) / 4
    watched.project.run("python", "src/featurize.py")
    assert not watched.take_images()


def test_neither_a_stage_nor_a_command_reaches_the_network(watched: Watched, tmp_path: Path) -> None:
    project = watched.project
    del project.environment["DVC_NO_ANALYTICS"]  # turned off by the project itself
    photograph = next((project.folder / "data/images").glob("*/*"))
    photograph.rename(tmp_path / photograph.name)
    project.run("dvc", "repro", "--force")
    project.run("python", "src/check.py")
    project.run("python", "src/query.py", str(tmp_path / photograph.name))
    project.run("python", "src/compare.py", "HEAD", "HEAD")
    project.run("python", "src/export.py", "--out", "exported")
    services = ServiceProcesses(project)
    with urlopen(f"{services.start()}/api/info") as response:  # noqa: S310  # the address is our own
        assert response.status == 200
    services.stop()
    accesses = watched.take()
    assert not of_the_network(accesses)
    scripts = {script for script, *_ in accesses}
    assert scripts >= {*(f"{stage}.py" for stage in stages(project)), "query.py", "export.py", "serve.py", "dvc"}
    lookup = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)"
    project.run("python", "-c", lookup)
    assert of_the_network(watched.take()) == {("-c", "socket.getaddrinfo", "example.org")}
