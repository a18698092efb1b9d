"""Two runs side by side in one service."""

from pathlib import Path

import httpx
import pytest

from projects import Project
from serve import limits_of, open_beside
from service.options import parse_arguments
from similarity.errors import UserError

KEY = "jug/jug_0003.jpg"


def test_either_run_can_be_asked(both: httpx.Client, api: httpx.Client, reproduced: Project) -> None:
    committed = api.get("/api/similar", params={"key": KEY}).json()["answer"]["neighbors"]
    answers = [both.get("/api/similar", params={"key": KEY, "run": run}).json()["answer"] for run in ("", "beside")]
    assert answers[1]["neighbors"] == committed != answers[0]["neighbors"]
    content = (reproduced.folder / "data/images" / KEY).read_bytes()
    [found] = both.post("/api/search/batch", files={"image": content}, data={"run": "beside"}).json()["results"]
    keys = [each["key"] for each in committed]
    assert [each["key"] for each in found["result"]["answer"]["neighbors"]][1:] == keys[:-1]
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


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("nothing", r"^cannot read dvc.yaml of 'nothing' \(.*\): see `dvc exp list --all`$"),
        ("HEAD", "^'HEAD' is of other images"),
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
        open_beside(revision, limits_of(parse_arguments([])))
    assert Path.cwd() == project.folder
