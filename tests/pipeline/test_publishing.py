"""Publishing a run, adding images to it, and searching it without the files that it was made of."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from projects import Project
from service_process import client_of
from similarity import ImageIndex, open_index
from similarity.data.sources.ceramics import draw_picture
from similarity.errors import UserError

UNNEEDED = ("embeddings.npy", "index.ann", "index.json", "inverted-index.json", "ann-inverted-index.json")
KEY = "jug/jug_0003.jpg"


def traced(log: Path) -> list[str]:
    """What goes before a command to log its connections, where strace is installed: it sees what is not Python's."""
    log.touch()
    return ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(log)] if shutil.which("strace") else []


class Published(NamedTuple):
    """A project whose embeddings are in a database alone, what `publish.py` printed, and the log of its connections."""

    project: Project
    printed: str
    log: Path


@pytest.fixture(scope="module")
def published(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("publishing")
    project, log = reproduced.copy_to(folder / "project"), folder / "log"
    printed = project.run(*traced(log), "python", "src/publish.py", "--to", str(folder / "database"))
    for name in UNNEEDED:
        (project.folder / "models" / name).unlink()
    environment = {**project.environment, "SIMILARITY_URI": str(folder / "database")}
    return Published(project._replace(environment=environment), printed, log)


def check_same(found: Iterable[tuple[str, float]], expected: Iterable[tuple[str, float]]) -> None:
    """Cosines of the files are computed in single precision, and those of a database in double."""
    cosines, others = dict(found), dict(expected)
    assert cosines
    assert cosines.keys() == others.keys()
    np.testing.assert_allclose(list(cosines.values()), list(others.values()), atol=2e-6)


def test_queries_of_what_is_published_find_what_the_files_give(
    published: Published, reproduced: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.fullmatch(
        r"publish: 144 images at \S+ as run-[0-9a-f]{16}\n"
        r"publish: search it with SIMILARITY_URI=\S+ and --index lancedb\n",
        published.printed,
    )
    monkeypatch.setenv("SIMILARITY_URI", published.project.environment["SIMILARITY_URI"])
    database, files = ImageIndex(published.project.folder, is_published=True), open_index(reproduced.folder)
    for image in (KEY, shutil.copyfile(reproduced.folder / "data/images" / KEY, tmp_path / "copy.jpg")):
        for label, split in (("bowl", None), (None, "valid")):
            pair = (each.search(image, 200, label=label, split=split) for each in (database, files))
            check_same(*([(match.key, match.cosine) for match in found] for found in pair))


def test_added_images_are_found(
    published: Published, reproduced: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new/jug/deep").mkdir(parents=True)
    Image.fromarray(draw_picture("jug", 9, 9, 48)).save(tmp_path / "new/jug/deep/x.png")
    uri = str(shutil.copytree(published.project.environment["SIMILARITY_URI"], tmp_path / "database"))
    monkeypatch.setenv("SIMILARITY_URI", uri)
    printed = reproduced.run("python", "src/publish.py", "--to", uri, "--add", str(tmp_path / "new"))
    assert re.match(r"publish: 1 image added to run-\S+ at \S+, which has 145 now\n", printed)
    index = ImageIndex(reproduced.folder, is_published=True)
    [found] = index.search(tmp_path / "new/jug/deep/x.png", 1, any=True)
    assert (found.key, found.label, found.cosine) == ("jug/deep__x.png", "jug", 1)
    assert (index.images / found.key).read_bytes() == (tmp_path / "new/jug/deep/x.png").read_bytes()
    monkeypatch.setenv("SIMILARITY_URI", "")
    with pytest.raises(UserError, match=r"--index lancedb: set SIMILARITY_URI to what `python src/publish\.py --to`"):
        ImageIndex(reproduced.folder, is_published=True).search(KEY)


def test_a_service_searches_there_with_no_embedding_at_hand(published: Published, reproduced: Project) -> None:
    choices: list[dict[str, str]] = [{}, {"label": "bowl", "k": "100"}, {"look": "0.9"}, {"index": "exact"}]
    with client_of(published.project, "--index", "lancedb") as client, client_of(reproduced) as exact:
        for parameters in choices:
            asked = {"key": KEY, **parameters}
            found = client.get("/api/similar", params=asked).json()["answer"]
            assert found["index"] == ("exact" if {"look", "index"} & parameters.keys() else "lancedb")
            expected = exact.get("/api/similar", params=asked).json()["answer"]
            pairs = ([(each["key"], each["cosine"]) for each in answer["neighbors"]] for answer in (found, expected))
            check_same(*pairs)
        content = (reproduced.folder / "data/images" / KEY).read_bytes()
        found = client.post("/api/search", files={"image": ("x", content)}).json()["answer"]
        assert found["neighbors"][0]["key"] == KEY
        indexes = client.get("/api/info").json()["indexes"]
        assert indexes["approximate"] == {"backend": "lancedb", "md5": None}
        refused = client.get("/api/similar", params={"key": KEY, "index": "annoy"})
        assert (refused.status_code, "by lancedb" in refused.json()["detail"]) == (404, True)


def test_neither_publishing_nor_searching_reaches_the_network(published: Published, tmp_path: Path) -> None:
    log = tmp_path / "log"
    published.project.run(*traced(log), "python", "src/query.py", KEY, "--index", "lancedb")
    for each in (published.log, log):
        assert "AF_INET" not in each.read_text(encoding="utf-8")
