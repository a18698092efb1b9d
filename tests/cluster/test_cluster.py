"""Two Ray nodes, each in a network namespace of its own, compute what one machine computes: `make test-cluster`."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from projects import Project

HEAD, OTHER = "similarity-head", "similarity-other"
ADDRESSES = {HEAD: "10.213.0.1", OTHER: "10.213.0.2"}
PORT = 6399
SCANNED = ("data/manifest.csv", "data/scan/**/*", "metrics/data.json")
FEATURES = "data/features.npy"
# Writes each result as it comes: of a function that anything can import, so that any node can.
COUNT = """
import subprocess, sys
sys.path.insert(0, "src")
from similarity.data.parallel import cluster_map
commands = [["sh", "-c", f"sleep 0.05; echo {number}"] for number in range(400)]
for result in cluster_map(subprocess.check_output, commands, 4):
    print(int(result), flush=True)
"""

if os.geteuid() != 0 or shutil.which("ip") is None:
    warnings.warn("TWO NODES OF A CLUSTER ARE NOT TESTED: THAT TAKES root AND THE COMMAND ip", stacklevel=1)
    pytest.skip("network namespaces take root and the command ip", allow_module_level=True)


class Cluster(NamedTuple):
    """How programs run on the node that drives the cluster."""

    environment: dict[str, str]

    def driver(self, project: Project, *command: str) -> subprocess.Popen[str]:
        """Starts a program of a project on the head node."""
        environment = {**project.environment, **self.environment, "XDG_CACHE_HOME": str(project.folder / "cache")}
        return subprocess.Popen(
            ["ip", "netns", "exec", HEAD, *command], cwd=project.folder, env=environment, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, project: Project, script: str, status: int = 0) -> str:
        """Runs a stage on the cluster, and gives what it printed."""
        running = self.driver(project, sys.executable, f"src/{script}.py")
        printed, errors = running.communicate(timeout=200)
        assert running.returncode == status, errors
        assert not errors or status
        return printed or errors


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ray") as name:  # sockets need short paths
        folder = Path(name)
        (folder / "token").write_text("0123456789abcdef" * 4, encoding="ascii")
        environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": f"{ADDRESSES[HEAD]}:{PORT}",
        }
        _connect_namespaces()
        try:
            _start_node(
                HEAD, environment, "--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={name}"
            )
            _start_node(OTHER, environment, f"--address={ADDRESSES[HEAD]}:{PORT}")
            yield Cluster({key: environment[key] for key in environment if key.startswith("RAY_")})
        finally:
            _remove_namespaces()


def _connect_namespaces() -> None:
    _remove_namespaces()
    for namespace in ADDRESSES:
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
    _ip("link", "add", "node", "netns", HEAD, "type", "veth", "peer", "name", "node", "netns", OTHER)
    for namespace, address in ADDRESSES.items():
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "node")
        _ip("-n", namespace, "link", "set", "node", "up")


def _remove_namespaces() -> None:
    for namespace in ADDRESSES:
        for process in _processes(namespace):
            os.kill(process, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL, check=False)


def _processes(namespace: str) -> list[int]:
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, encoding="utf-8", check=False)
    return [int(line) for line in listed.stdout.split()]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _start_node(namespace: str, environment: dict[str, str], *options: str) -> None:
    ray = str(Path(sys.executable).with_name("ray"))
    command = ["ip", "netns", "exec", namespace, ray, "start", f"--node-ip-address={ADDRESSES[namespace]}"]
    subprocess.run(
        [*command, "--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats", *options],
        env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip


def test_a_cluster_gives_the_bytes_of_one_machine(cluster: Cluster, project: Project) -> None:
    before = project.contents(*SCANNED, FEATURES)
    printed = cluster.run(project, "scan") + cluster.run(project, "featurize")
    assert "144 images computed" in printed
    assert project.contents(*SCANNED, FEATURES) == before


def test_an_image_that_was_changed_is_named_with_its_node(cluster: Cluster, project: Project) -> None:
    before, image = project.contents(FEATURES), project.folder / "data/images/jug/jug_0003.jpg"
    image.unlink()
    image.write_bytes(b"changed")
    lines = cluster.run(project, "featurize", status=1).splitlines()
    assert lines[0].startswith("error: on node 10.213.0."), lines
    assert lines[0].endswith("data/images/jug/jug_0003.jpg has changed since it was scanned: run `dvc repro`")
    assert project.contents(FEATURES) == before


def test_a_node_that_dies_loses_nothing(cluster: Cluster, project: Project) -> None:
    running, results = cluster.driver(project, sys.executable, "-c", COUNT), list[int]()
    assert running.stdout is not None
    for line in running.stdout:
        if not line.strip().isdecimal():  # Ray prints there what has become of the node
            continue
        results.append(int(line))
        if len(results) == 100:
            for process in _processes(OTHER):
                if "raylet" in Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8").split("\0")[0]:
                    os.kill(process, signal.SIGKILL)
    assert results == list(range(400))
    assert running.wait() == 0
