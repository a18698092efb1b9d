"""The service answers from one version until it reloads, and from a second one next to it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml

from projects import Project, splits_of
from serve import parse_arguments
from service.server import open_beside
from service_process import client_of
from similarity.errors import UserError

KEY, OTHER = "jug/jug_0003.jpg", "jug/jug_0004.jpg"


@pytest.fixture(scope="module")
def changed(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose files change while it is served."""
    return reproduced.copy_to(tmp_path_factory.mktemp("changed") / "project")


@pytest.fixture(scope="module")
def client(changed: Project) -> Iterator[httpx.Client]:
    """A client of its service."""
    with client_of(changed, before="exec 2>stderr.txt") as client:
        yield client


def replace(path: Path, content: bytes) -> None:
    path.with_name("new").write_bytes(content)
    path.with_name("new").rename(path)


def test_a_file_that_is_another_image_or_gone_is_not_sent(client: httpx.Client, changed: Project) -> None:
    images = changed.folder / "data/images"
    before = client.get(f"/api/images/{KEY}")
    replace(images / KEY, (images / OTHER).read_bytes())
    for path in (f"/api/images/{KEY}", f"/api/images/{KEY}?thumbnail=64"):
        refused = client.get(path)
        assert (refused.status_code, "etag" in refused.headers) == (409, False)
        assert "not the image that was indexed: run `dvc repro` and reload the service" in refused.json()["detail"]
    assert client.post("/api/download", data={"key": [KEY, OTHER]}).json()["code"] == "file_changed"
    (images / KEY).unlink()
    refused = client.get(f"/api/images/{KEY}")
    assert (refused.status_code, "run `dvc checkout`" in refused.json()["detail"]) == (404, True)
    replace(images / KEY, before.content)
    assert client.get(f"/api/images/{KEY}").content == before.content


def neighbors(client: httpx.Client) -> list[dict]:
    return client.get("/api/similar", params={"key": KEY}).json()["answer"]["neighbors"]


def put_results(project: Project, other: Project, *stages: str) -> None:
    """Put the results of another run into a project, as if DVC had run some of its stages."""
    lock, theirs = (yaml.safe_load((each.folder / "dvc.lock").read_text(encoding="utf-8")) for each in (project, other))
    for stage in stages:
        lock["stages"][stage] = theirs["stages"][stage]
        for path in (out["path"] for out in theirs["stages"][stage]["outs"]):
            project.run("cp", "-rT", "--remove-destination", str(other.folder / path), path)
    (project.folder / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")


def test_neither_a_reload_nor_a_query_mixes_two_runs(client: httpx.Client, changed: Project, one_part: Project) -> None:
    old = neighbors(client)
    put_results(changed, one_part, "train", "embed")
    refused = client.post("/api/reload")
    assert refused.status_code == 409
    assert (changed.folder / "stderr.txt").read_text(encoding="utf-8") == f"{refused.json()['detail']}\n"
    assert "run `dvc repro`" in refused.json()["detail"]
    for image in (KEY, f"data/images/{KEY}"):
        assert "run `dvc repro`" in changed.run("python", "src/query.py", image, status=1)
    assert neighbors(client) == old
    put_results(changed, one_part, "neighbors", "ann", "novelty")
    assert KEY in changed.run("python", "src/query.py", KEY)
    assert neighbors(client) == old
    info = client.get("/api/info").json()
    assert info["out_of_date"]
    with ThreadPoolExecutor(1) as pool:
        reloading = pool.submit(client.post, "/api/reload")
        seen = []
        while not reloading.done():
            seen.append(neighbors(client))
        reloaded = reloading.result()
    assert reloaded.status_code == 200, reloaded.text
    assert reloaded.json() == client.get("/api/info").json()
    assert reloaded.json()["model"]["md5"] != info["model"]["md5"]
    assert not reloaded.json()["out_of_date"]
    new = neighbors(client)
    assert old in seen
    assert all(each in (old, new) for each in seen)
    assert new != old


def test_without_an_audit_or_a_split_there_are_none(client: httpx.Client, changed: Project) -> None:
    for name in ("findings", "splits"):
        (changed.folder / f"data/{name}.csv").unlink()
    info = client.post("/api/reload").json()
    assert (info["data"]["splits"], info["data"]["audited"], info["out_of_date"]) == ([], False, False)
    assert client.get("/api/findings").json()["audited"] is False
    [first, *_] = client.get("/api/images").json()["images"]
    assert (first["split"], first["findings"]) == (None, [])
    assert client.get("/api/images", params={"split": "test"}).json()["total"] == 0


def test_either_of_two_runs_can_be_asked(both: httpx.Client, api: httpx.Client, content: bytes) -> None:
    committed = api.get("/api/similar", params={"key": KEY}).json()["answer"]["neighbors"]
    answers = [both.get("/api/similar", params={"key": KEY, "run": run}).json()["answer"] for run in ("", "beside")]
    assert answers[1]["neighbors"] == committed != answers[0]["neighbors"]
    uploaded = both.post("/api/search", files={"image": content}, data={"run": "beside"}).json()["answer"]["neighbors"]
    assert [each["key"] for each in uploaded][1:] == [each["key"] for each in committed[:-1]]
    info, committed = both.get("/api/info").json(), api.get("/api/info").json()
    assert info["beside"]["revision"] == "HEAD"
    assert info["beside"]["model"] == committed["model"] != info["model"]
    assert info["beside"]["metrics"] == committed["metrics"]
    assert committed["beside"] is None
    refused = api.get("/api/similar", params={"key": KEY, "run": "beside"})
    assert (refused.status_code, "start the service with --compare" in refused.json()["detail"]) == (404, True)


def test_the_images_whose_results_changed_most_come_first(
    both: httpx.Client, one_part: Project, reproduced: Project, api: httpx.Client
) -> None:
    def nearest(project: Project, key: str) -> set[str]:
        index = json.loads((project.folder / "models/inverted-index.json").read_text(encoding="utf-8"))
        return {other for other, _ in index[key][:10]}

    tested = [key for key, split in splits_of(reproduced).items() if split == "test"]
    shared = {key: len(nearest(one_part, key) & nearest(reproduced, key)) for key in tested}
    changes = both.get("/api/changes", params={"size": 5}).json()["changes"]
    assert [each["shared"] for each in changes] == sorted(shared.values())[:5]
    assert all(shared[each["query"]["key"]] == each["shared"] for each in changes)
    assert api.get("/api/changes").json()["code"] == "no_second_run"


def test_a_second_run_of_other_images_or_none_is_refused(changed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(changed.folder)
    with pytest.raises(UserError, match=r"^cannot read dvc\.yaml of 'nothing' .*: see `dvc exp list"):
        open_beside(parse_arguments(["--compare", "nothing"]))
    manifest = changed.folder / "data/manifest.csv"
    replace(manifest, manifest.read_bytes().rpartition(b"\n")[0])
    with pytest.raises(UserError, match=r"^'HEAD' has other images"):
        open_beside(parse_arguments(["--compare", "HEAD"]))
