"""The examples of docs/reference/api.md, as they stand there."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from projects import ROOT, Project
from service_process import TOKEN

PAGE = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
CURL = """
API={address}/api/v1 SIMILARITY_TOKEN='{token}'
curl() {{ command curl -fsS -H "Authorization: Bearer $SIMILARITY_TOKEN" "$@"; }}
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_example_of_a_call_works(closed: str, reproduced: Project, tmp_path: Path) -> None:
    shutil.copyfile(reproduced.folder / "data/images/jug/jug_0003.jpg", tmp_path / "photo.jpg")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    calls = [line for line in lines if line.startswith("curl")]
    assert len(calls) > 15
    script = CURL.format(address=closed, token=TOKEN) + "\n".join(calls)
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "images.zip").read_bytes().startswith(b"PK")


def test_every_call_has_an_example(api: httpx.Client) -> None:
    paths = api.get("/api/openapi.json").json()["paths"]
    without = {"/healthz", "/api/v1/session", "/api/v1/changes"}  # for other programs, the page, and two runs
    for path in set(paths) - without:
        named = path.replace("/api/v1/", "$API/").partition("{")[0]
        assert re.search(rf"^curl .*{re.escape(named)}", PAGE, re.MULTILINE), path
