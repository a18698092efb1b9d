"""The service behind a proxy: under another name, and below a prefix that the proxy takes away."""

from collections.abc import Iterator

import httpx
import pytest

from projects import Project
from service_process import TOKEN, StartService

KEY = "marble/marble_0003.jpg"
NAME = "images.example.org"


@pytest.fixture(scope="module")
def behind_proxy(start_service: StartService) -> str:
    options = "--host=0.0.0.0", "--root-path=/similar/", f"--allow-host={NAME}", "--allow-host=*.internal"
    return start_service(*options, before=f"export SIMILARITY_TOKEN='{TOKEN}'")


@pytest.fixture
def proxied(behind_proxy: str) -> Iterator[httpx.Client]:
    """What the proxy asks."""
    headers = {"Host": NAME, "Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=behind_proxy, headers=headers) as client:
        yield client


def test_all_is_found_below_the_prefix(proxied: httpx.Client, reproduced: Project) -> None:
    for path in ("/", "/page.css", "/api/docs/", "/healthz"):
        assert proxied.get(path).status_code == 200
    content = (reproduced.folder / "data/images" / KEY).read_bytes()
    assert proxied.get(f"/api/images/{KEY}").content == content
    found = proxied.post("/api/search", files={"image": ("x", content)}, headers={"Origin": f"https://{NAME}"})
    assert found.json()["answer"]["neighbors"][0]["key"] == KEY
    assert "no such parameter" in proxied.get("/api/images?x=1").json()["detail"]
    assert proxied.get("/api/openapi.json").json()["servers"] == [{"url": "/similar"}]


def test_the_token_is_required_and_its_cookie_is_for_the_prefix(proxied: httpx.Client) -> None:
    assert "path=/similar/api;" in proxied.post("/api/session").headers["set-cookie"].lower()
    proxied.cookies.clear()
    for path in ("/api/info", "/api/search", "/api/openapi.json", "/%61pi/info"):
        assert proxied.get(path, headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [(NAME, 200), (f"{NAME.upper()}:8443", 200), ("a.b.internal", 200), ("localhost:1", 200), ("[::1]:80", 200),
     ("192.0.2.7", 400), ("evil.example", 400), (f"{NAME}.evil.example", 400), ("internal", 400), ("", 400)],
)  # fmt: skip
def test_only_its_own_names_are_answered(behind_proxy: str, host: str, status: int) -> None:
    assert httpx.get(f"{behind_proxy}/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("name", ["*example.org", "images.*"])
def test_a_pattern_that_means_nothing_is_refused(reproduced: Project, name: str) -> None:
    printed = reproduced.run("python", "src/serve.py", "--allow-host", name, status=2)
    assert printed.startswith(f"error: --allow-host: {name}: a name, *.NAME for all names below it")
