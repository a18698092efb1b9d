"""Publishing a run, and searching it without the files that it was made of."""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest

from projects import Project
from service_process import ServiceProcesses

pytest.importorskip("lancedb", reason="LanceDB is not installed")

UNNEEDED = (
    "embeddings.npy",
    "embeddings.json",
    "index.ann",
    "index.json",
    "inverted-index.json",
    "ann-inverted-index.json",
)
KEY = "marble/marble_0003.jpg"


class Published(NamedTuple):
    """A project whose embeddings are in a database alone, where that is, and what `publish.py` printed."""

    project: Project
    uri: str
    printed: str


@pytest.fixture(scope="module")
def published(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("publishing")
    project = reproduced.copy_to(folder / "project")
    uri = str(folder / "database")
    printed = project.run("python", "src/publish.py", "--to", uri)
    for name in UNNEEDED:
        (project.folder / "models" / name).unlink()
    return Published(project._replace(environment={**project.environment, "SIMILARITY_URI": uri}), uri, printed)


def queried(project: Project, *options: str) -> list[list[dict]]:
    printed = project.run("python", "src/query.py", "--json", *options)
    return [query["neighbors"] for query in json.loads(printed)["queries"]]


def check_same(found: list[dict], expected: list[dict]) -> None:
    """Cosines of the files are computed in single precision, and those of a database in double."""
    assert {each["key"] for each in found} == {each["key"] for each in expected}
    np.testing.assert_allclose([each["cosine"] for each in found], [each["cosine"] for each in expected], atol=2e-6)


def test_the_recall_is_told_before_the_tag(published: Published) -> None:
    assert re.fullmatch(
        r"publish: 144 images at \S+, 144 written, 0 deleted; recall@10 1\.0000 of 144 images\n"
        r"publish: version \d+ is run-[0-9a-f]{16}; search it with SIMILARITY_URI=\S+ and --index lancedb\n",
        published.printed,
    )


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "200", "--label", "gneiss"],
        ["--split", "valid"],
    ],
    ids=" ".join,
)
def test_queries_of_what_is_published_find_what_the_files_give(
    published: Published, reproduced: Project, options: list[str]
) -> None:
    photograph = str(reproduced.folder / "data/images" / KEY)
    copy = Path(published.uri).parent / "copy.jpg"
    shutil.copyfile(photograph, copy)
    found = queried(published.project, KEY, str(copy), "--index", "lancedb", *options)
    expected = queried(reproduced, KEY, str(copy), "--index", "exact", *options)
    assert len(found) == len(expected) == 2
    for pair in zip(found, expected, strict=True):
        check_same(*pair)
        assert pair[0]


def test_what_was_not_published_is_refused_in_one_line(published: Published, tmp_path: Path) -> None:
    def refusal(project: Project) -> str:
        printed = project.run("python", "src/query.py", KEY, "--index", "lancedb", status=1)
        assert printed.count("\n") == 1
        return printed

    project = published.project
    nowhere = project._replace(environment={**project.environment, "SIMILARITY_URI": ""})
    assert "set SIMILARITY_URI to what `python src/publish.py --to` was given" in refusal(nowhere)
    elsewhere = project._replace(environment={**project.environment, "SIMILARITY_URI": str(tmp_path / "x")})
    assert "nothing is published under run-" in refusal(elsewhere)
    other = project.copy_to(tmp_path / "other")
    lock = other.folder / "dvc.lock"
    lock.write_text(f"# of another run\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")
    assert "nothing is published under run-" in refusal(other)
    (other.folder / "models/run.json").write_text("{}\n", encoding="utf-8")
    assert "models/run.json is of another run than dvc.lock" in refusal(other)


def test_a_service_searches_there_with_no_embedding_at_hand(published: Published, reproduced: Project) -> None:
    services = ServiceProcesses(published.project)
    local = ServiceProcesses(reproduced)
    try:
        with (
            httpx.Client(base_url=services.start("--index", "lancedb"), timeout=30) as client,
            httpx.Client(base_url=local.start(), timeout=30) as exact,
        ):
            choices: list[dict[str, str | float]] = [
                {},
                {"label": "gneiss", "k": 100},
                {"split": "test"},
                {"look": 0.9},
                {"index": "exact"},
            ]
            for parameters in choices:
                asked = {"key": KEY, **parameters}
                found = client.get("/api/similar", params=asked).json()["answer"]
                assert found["index"] == ("exact" if {"look", "index"} & parameters.keys() else "lancedb")
                check_same(found["neighbors"], exact.get("/api/similar", params=asked).json()["answer"]["neighbors"])
            content = (reproduced.folder / "data/images" / KEY).read_bytes()
            both = client.post("/api/search", files={"image": ("x", content)}, data={"compare": "true"}).json()
            assert both["answer"]["neighbors"] == both["comparison"]["neighbors"]
            assert both["answer"]["neighbors"][0]["key"] == KEY
            indexes = client.get("/api/info").json()["indexes"]
            assert indexes["approximate"] == {"backend": "lancedb", "search_k": None, "md5": None}
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
    project = published.project
    reproduced.run(*trace, "python", "src/publish.py", "--to", str(tmp_path / "database"))
    assert "AF_INET" not in log.read_text(encoding="utf-8")
    project.run(*trace, "python", "src/query.py", KEY, "--index", "lancedb")
    assert "AF_INET" not in log.read_text(encoding="utf-8")
    lookup = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)"
    project.run(*trace, "python", "-c", lookup)
    assert "AF_INET" in log.read_text(encoding="utf-8")
