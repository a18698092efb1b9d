"""Two runs side by side in one service."""

import json
from pathlib import Path

import httpx
import pytest

from projects import Project, splits_of
from serve import parse_arguments
from service.server import open_beside
from similarity.errors import UserError

KEY = "jug/jug_0003.jpg"


def test_either_run_can_be_asked(both: httpx.Client, api: httpx.Client, content: bytes) -> None:
    committed = api.get("/api/similar", params={"key": KEY}).json()["answer"]["neighbors"]
    answers = [both.get("/api/similar", params={"key": KEY, "run": run}).json()["answer"] for run in ("", "beside")]
    assert answers[1]["neighbors"] == committed != answers[0]["neighbors"]
    found = both.post("/api/search", files={"image": content}, data={"run": "beside"}).json()
    keys = [each["key"] for each in committed]
    assert [each["key"] for each in found["answer"]["neighbors"]][1:] == keys[:-1]
    part = both.post("/api/search", data={"key": KEY, "region": "0,0,1,1", "run": "beside", "any": "true"}).json()
    assert [each["key"] for each in part["answer"]["neighbors"]] == keys


def test_the_second_run_is_told(both: httpx.Client, api: httpx.Client) -> None:
    info, committed = both.get("/api/info").json(), api.get("/api/info").json()
    assert info["beside"]["revision"] == "HEAD"
    assert info["beside"]["model"] == committed["model"] != info["model"]
    assert info["beside"]["metrics"] == committed["metrics"]
    assert committed["beside"] is None
    refused = api.get("/api/similar", params={"key": KEY, "run": "beside"})
    assert (refused.status_code, "start the service with --compare" in refused.json()["detail"]) == (404, True)


def test_the_images_whose_results_changed_most_come_first(
    both: httpx.Client, retrained: Project, reproduced: Project, api: httpx.Client
) -> None:
    def nearest(project: Project, key: str) -> set[str]:
        index = json.loads((project.folder / "models/inverted-index.json").read_text(encoding="utf-8"))
        return {other for other, _ in index[key][:10]}

    tested = [key for key, split in splits_of(reproduced).items() if split == "test"]
    shared = {key: len(nearest(retrained, key) & nearest(reproduced, key)) for key in tested}
    changes = both.get("/api/changes", params={"size": 5}).json()["changes"]
    assert [each["shared"] for each in changes] == sorted(shared.values())[:5]
    assert all(shared[each["query"]["key"]] == each["shared"] for each in changes)
    assert api.get("/api/changes").json()["code"] == "no_second_run"


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("nothing", r"^cannot read dvc.yaml of 'nothing' \(.*\): see `dvc exp list --all`$"),
        ("HEAD", "^'HEAD' has other images"),
    ],
)
def test_what_cannot_be_served_beside_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, revision: str, message: str
) -> None:
    manifest = project.folder / "data/manifest.csv"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.unlink()  # it is a link to the cache
    manifest.write_text("".join(lines[:-1]), encoding="utf-8")
    monkeypatch.chdir(project.folder)
    with pytest.raises(UserError, match=message):
        open_beside(parse_arguments(["--compare", revision]))
    assert Path.cwd() == project.folder
