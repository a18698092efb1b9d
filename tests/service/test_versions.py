"""The service answers from one version until it reloads."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml

from projects import Project
from service_process import ServiceProcesses

KEY = "jug/jug_0003.jpg"
OTHER = "jug/jug_0004.jpg"


@pytest.fixture
def processes(project: Project) -> Iterator[ServiceProcesses]:
    """Services on a project of their own."""
    processes = ServiceProcesses(project)
    yield processes
    processes.stop()


@pytest.fixture
def client(processes: ServiceProcesses) -> Iterator[httpx.Client]:
    """A client of such a service."""
    with httpx.Client(base_url=processes.start(), timeout=30) as client:
        yield client


def replace(path: Path, content: bytes) -> None:
    path.with_name("new").write_bytes(content)
    path.with_name("new").rename(path)


def overwrite_unnoticed(path: Path, _: bytes) -> None:
    """Change bytes in place, and leave the file with the same size and the same time."""
    status, content = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-20] + bytes(18) + content[-2:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [replace, overwrite_unnoticed])
def test_a_file_that_is_another_image_or_gone_is_never_given_for_the_indexed_one(
    client: httpx.Client, project: Project, change: Callable[[Path, bytes], None]
) -> None:
    images = project.folder / "data/images"
    before = client.get(f"/api/images/{KEY}")
    change(images / KEY, (images / OTHER).read_bytes())
    for path in (f"/api/images/{KEY}", f"/api/images/{KEY}?thumbnail=64"):
        refused = client.get(path)
        assert (refused.status_code, "etag" in refused.headers) == (409, False)
        assert "not the image that was indexed: run `dvc repro` and reload the service" in refused.json()["detail"]
    assert client.post("/api/download", data={"key": [KEY, OTHER]}).json()["code"] == "file_changed"
    replace(images / KEY, before.content)
    assert client.get(f"/api/images/{KEY}").content == before.content
    (images / KEY).unlink()
    refused = client.get(f"/api/images/{KEY}")
    assert (refused.status_code, "run `dvc checkout`" in refused.json()["detail"]) == (404, True)


TOKEN = "a-token-for-reloading"  # noqa: S105  # of this test


@pytest.fixture
def owner(processes: ServiceProcesses) -> Iterator[httpx.Client]:
    """A client that knows the token of a service."""
    address = processes.start(before=f"export SIMILARITY_TOKEN={TOKEN}; exec 2>stderr.txt")
    with httpx.Client(base_url=address, timeout=30, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def neighbors(client: httpx.Client) -> list[dict]:
    return client.get("/api/similar", params={"key": KEY}).json()["answer"]["neighbors"]


def put_results(project: Project, retrained: Project, *stages: str) -> None:
    """Put the results of another run into a project, as if DVC had run some of its stages, or all."""
    shutil.rmtree(project.folder / "models")
    shutil.copytree(retrained.folder / "models", project.folder / "models")
    locks = [yaml.safe_load((each.folder / "dvc.lock").read_text(encoding="utf-8")) for each in (project, retrained)]
    locks[0]["stages"].update({name: locks[1]["stages"][name] for name in stages or locks[1]["stages"]})
    (project.folder / "dvc.lock").write_text(yaml.safe_dump(locks[0]), encoding="utf-8")


def test_a_reload_waits_for_the_pipeline_to_be_through_and_no_answer_is_a_mixture(
    owner: httpx.Client, project: Project, retrained: Project
) -> None:
    old = neighbors(owner)
    put_results(project, retrained, "train", "embed")
    refused = owner.post("/api/reload")
    assert refused.status_code == 409
    assert "is not what stage" in refused.json()["detail"]
    put_results(project, retrained)
    assert neighbors(owner) == old
    time.sleep(1)  # for which the answer is kept
    info = owner.get("/api/info").json()
    assert info["out_of_date"]
    with ThreadPoolExecutor(1) as pool:
        reloading = pool.submit(owner.post, "/api/reload")
        seen = []
        while not reloading.done():
            seen.append(neighbors(owner))
        reloaded = reloading.result()
    assert reloaded.status_code == 200, reloaded.text
    assert reloaded.json() == owner.get("/api/info").json()
    assert reloaded.json()["model"]["md5"] != info["model"]["md5"]
    assert not reloaded.json()["out_of_date"]
    new = neighbors(owner)
    assert old in seen
    assert all(each in (old, new) for each in seen)
    assert new != old


def test_damaged_files_are_not_served_and_one_line_says_why(owner: httpx.Client, project: Project) -> None:
    old, index = neighbors(owner), project.folder / "models/inverted-index.json"
    replace(index, index.read_bytes()[:-100])
    refused = owner.post("/api/reload")
    assert refused.status_code == 409
    printed = (project.folder / "stderr.txt").read_text(encoding="utf-8")
    assert printed == f"{refused.json()['detail']}\n"
    assert "models/inverted-index.json is not what stage neighbors made, by dvc.lock" in printed
    assert neighbors(owner) == old


def test_a_reload_needs_the_token_if_there_is_one(owner: httpx.Client, service: str) -> None:
    assert httpx.post(f"{service}/api/reload", timeout=60).status_code == 200
    assert httpx.post(str(owner.base_url.join("/api/reload"))).status_code == 401
