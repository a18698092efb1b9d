"""The service is of one version until it is told to reload."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from projects import Project
from service_process import ServiceProcesses

KEY = "marble/marble_0003.jpg"
OTHER = "marble/marble_0004.jpg"


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


def replace(path: Path, other: Path) -> None:
    shutil.copyfile(other, path.with_name("new"))
    path.with_name("new").rename(path)


def overwrite_unnoticed(path: Path, _: Path) -> None:
    """Changes bytes in place, and leaves it with the same size and the same time."""
    status, content = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-20] + bytes(18) + content[-2:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [replace, overwrite_unnoticed])
@pytest.mark.parametrize("query", ["", "?thumbnail=64"])
def test_a_file_that_is_another_image_by_now_is_never_given_for_the_indexed_one(
    client: httpx.Client, project: Project, change: Callable[[Path, Path], None], query: str
) -> None:
    images = project.folder / "data/images"
    before = client.get(f"/api/images/{KEY}{query}")
    assert before.status_code == 200
    shutil.copy2(images / KEY, images / "kept")
    change(images / KEY, images / OTHER)
    refused = client.get(f"/api/images/{KEY}{query}")
    assert refused.status_code == 409
    assert "not the image that was indexed: run `dvc repro` and reload the service" in refused.json()["detail"]
    assert "etag" not in refused.headers
    have = {"If-None-Match": before.headers["etag"]}
    assert client.get(f"/api/images/{KEY}{query}", headers=have).status_code == 304
    replace(images / KEY, images / "kept")
    assert client.get(f"/api/images/{KEY}{query}").content == before.content


def test_a_file_that_is_gone_is_told_with_the_way_to_get_it_back(client: httpx.Client, project: Project) -> None:
    (project.folder / "data/images" / KEY).unlink()
    for query in ("", "?thumbnail=64"):
        refused = client.get(f"/api/images/{KEY}{query}")
        assert refused.status_code == 404
        assert "run `dvc checkout data/images`" in refused.json()["detail"]
