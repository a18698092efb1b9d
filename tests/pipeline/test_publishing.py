"""Publishing a run, adding images to it, and searching it without the files that it was made of."""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image

from projects import Project
from service_process import ServiceProcesses
from similarity.data.sources.ceramics import draw_picture

pytest.importorskip("lancedb", reason="LanceDB is not installed")

UNNEEDED = ("embeddings.npy", "index.ann", "index.json", "inverted-index.json", "ann-inverted-index.json")
KEY = "jug/jug_0003.jpg"


class Published(NamedTuple):
    """A project whose embeddings are in a database alone, and what `publish.py` printed."""

    project: Project
    printed: str


@pytest.fixture(scope="module")
def published(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("publishing")
    project = reproduced.copy_to(folder / "project")
    printed = project.run("python", "src/publish.py", "--to", str(folder / "database"))
    for name in UNNEEDED:
        (project.folder / "models" / name).unlink()
    environment = {**project.environment, "SIMILARITY_URI": str(folder / "database")}
    return Published(project._replace(environment=environment), printed)


def queried(project: Project, *options: str) -> list[list[dict]]:
    printed = project.run("python", "src/query.py", "--json", *options)
    return [query["neighbors"] for query in json.loads(printed)["queries"]]


def check_same(found: list[dict], expected: list[dict]) -> None:
    """Cosines of the files are computed in single precision, and those of a database in double."""
    assert {each["key"] for each in found} == {each["key"] for each in expected}
    np.testing.assert_allclose([each["cosine"] for each in found], [each["cosine"] for each in expected], atol=2e-6)


def test_queries_of_what_is_published_find_what_the_files_give(
    published: Published, reproduced: Project, tmp_path: Path
) -> None:
    assert re.fullmatch(
        r"publish: 144 images at \S+ as run-[0-9a-f]{16}\n"
        r"publish: search it with SIMILARITY_URI=\S+ and --index lancedb\n",
        published.printed,
    )
    copy = str(shutil.copyfile(reproduced.folder / "data/images" / KEY, tmp_path / "copy.jpg"))
    for options in (["-k", "200", "--label", "bowl"], ["--split", "valid"]):
        found = queried(published.project, KEY, copy, "--index", "lancedb", *options)
        expected = queried(reproduced, KEY, copy, "--index", "exact", *options)
        for pair in zip(found, expected, strict=True):
            check_same(*pair)
            assert pair[0]


def test_added_images_are_found_until_the_run_is_published_again(reproduced: Project, tmp_path: Path) -> None:
    (tmp_path / "new/jug/deep").mkdir(parents=True)
    Image.fromarray(draw_picture("jug", 9, 9, 48)).save(tmp_path / "new/jug/deep/x.png")
    uri = str(tmp_path / "database")
    project = reproduced._replace(environment={**reproduced.environment, "SIMILARITY_URI": uri})
    project.run("python", "src/publish.py")
    printed = project.run("python", "src/publish.py", "--add", str(tmp_path / "new"))
    assert re.match(r"publish: 1 image added to run-\S+ at \S+, which has 145 now\n", printed)
    [found] = queried(project, str(tmp_path / "new/jug/deep/x.png"), "--index", "lancedb", "--any")
    assert (found[0]["key"], found[0]["label"], found[0]["cosine"]) == ("jug/deep__x.png", "jug", 1)
    services = ServiceProcesses(project)
    try:
        with httpx.Client(base_url=services.start("--index", "lancedb"), timeout=30) as client:
            image = client.get("/api/images/jug/deep__x.png")
            assert image.content == (tmp_path / "new/jug/deep/x.png").read_bytes()
    finally:
        services.stop()
    project.run("python", "src/publish.py")
    assert len(queried(project, KEY, "--index", "lancedb", "-k", "200")[0]) == 143
    nowhere = project._replace(environment={**project.environment, "SIMILARITY_URI": ""})
    printed = nowhere.run("python", "src/query.py", KEY, "--index", "lancedb", status=1)
    assert printed.startswith("error: --index lancedb: set SIMILARITY_URI to what `python src/publish.py --to`")


def test_a_service_searches_there_with_no_embedding_at_hand(published: Published, reproduced: Project) -> None:
    services, local = ServiceProcesses(published.project), ServiceProcesses(reproduced)
    try:
        with (
            httpx.Client(base_url=services.start("--index", "lancedb"), timeout=30) as client,
            httpx.Client(base_url=local.start(), timeout=30) as exact,
        ):
            choices: list[dict[str, str]] = [{}, {"label": "bowl", "k": "100"}, {"look": "0.9"}, {"index": "exact"}]
            for parameters in choices:
                asked = {"key": KEY, **parameters}
                found = client.get("/api/similar", params=asked).json()["answer"]
                assert found["index"] == ("exact" if {"look", "index"} & parameters.keys() else "lancedb")
                check_same(found["neighbors"], exact.get("/api/similar", params=asked).json()["answer"]["neighbors"])
            content = (reproduced.folder / "data/images" / KEY).read_bytes()
            found = client.post("/api/search", files={"image": ("x", content)}).json()["answer"]
            assert found["neighbors"][0]["key"] == KEY
            indexes = client.get("/api/info").json()["indexes"]
            assert indexes["approximate"] == {"backend": "lancedb", "md5": None}
            refused = client.get("/api/similar", params={"key": KEY, "index": "annoy"})
            assert (refused.status_code, "by lancedb" in refused.json()["detail"]) == (404, True)
    finally:
        services.stop()
        local.stop()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: it sees what is not Python's")
def test_neither_publishing_nor_searching_reaches_the_network(
    published: Published, reproduced: Project, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    trace = ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(log)]
    reproduced.run(*trace, "python", "src/publish.py", "--to", str(tmp_path / "database"))
    assert "AF_INET" not in log.read_text(encoding="utf-8")
    published.project.run(*trace, "python", "src/query.py", KEY, "--index", "lancedb")
    assert "AF_INET" not in log.read_text(encoding="utf-8")
