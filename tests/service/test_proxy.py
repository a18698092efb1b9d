"""The service behind a proxy: another name, and a prefix of all paths, which the proxy takes away or leaves."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from projects import Project
from service_process import StartService

KEY = "marble/marble_0003.jpg"
TOKEN = "a-token-behind-a-proxy"  # noqa: S105  # of this test
NAME = "images.example.org"


@pytest.fixture(scope="module")
def behind_proxy(start_service: StartService) -> str:
    options = "--host=0.0.0.0", "--root-path=/similar/", f"--allow-host={NAME}", "--allow-host=*.internal"
    return start_service(*options, before=f"export SIMILARITY_TOKEN={TOKEN}")


@pytest.fixture(params=["", "/similar"])
def proxied(request: pytest.FixtureRequest, behind_proxy: str) -> Iterator[httpx.Client]:
    """What a proxy asks that takes the prefix away, or leaves it."""
    headers = {"Host": NAME, "Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://{urlsplit(behind_proxy).netloc}{request.param}", headers=headers) as client:
        yield client


def test_all_is_found_below_the_prefix(proxied: httpx.Client, reproduced: Project) -> None:
    assert proxied.get("/").status_code == proxied.get("/page.css").status_code == 200
    assert proxied.get("/api/docs/").status_code == proxied.get("/healthz").status_code == 200
    content = (reproduced.folder / "data/images" / KEY).read_bytes()
    assert proxied.get(f"/api/images/{KEY}").content == content
    found = proxied.post("/api/search", files={"image": ("x", content)}, headers={"Origin": f"https://{NAME}"})
    assert found.json()["answer"]["neighbors"][0]["key"] == KEY
    assert "no such parameter" in proxied.get("/api/images?x=1").json()["detail"]
    assert proxied.get("/api/openapi.json").json()["servers"] == [{"url": "/similar"}]


def test_the_token_is_asked_for_and_its_cookie_is_for_the_prefix(proxied: httpx.Client) -> None:
    assert "path=/similar/api;" in proxied.post("/api/session").headers["set-cookie"].lower()
    proxied.cookies.clear()
    for path in ("/api/info", "/api/search", "/api/openapi.json", "/%61pi/info"):
        assert proxied.get(path, headers={"Authorization": ""}).status_code == 401


def test_the_prefix_alone_leads_to_the_page(behind_proxy: str) -> None:
    answer = httpx.get(behind_proxy)
    assert behind_proxy.endswith("/similar")
    assert (answer.status_code, answer.headers["location"]) == (307, "/similar/")


@pytest.mark.parametrize(
    ("host", "status"),
    [(NAME, 200), (f"{NAME.upper()}:8443", 200), ("a.b.internal", 200), ("localhost:1", 200), ("192.0.2.7", 200),
     ("[2001:db8::7]:80", 200), ("evil.example", 400), (f"{NAME}.evil.example", 400), ("internal", 400), ("", 400)],
)  # fmt: skip
def test_only_its_own_names_and_addresses_are_answered(behind_proxy: str, host: str, status: int) -> None:
    answer = httpx.get(f"{behind_proxy}/healthz", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert f"does not answer to the name {host!r}" in answer.json()["detail"]


def test_a_service_of_this_machine_alone_answers_to_no_other_address(service: str) -> None:
    assert httpx.get(f"{service}/healthz", headers={"Host": "192.0.2.7"}).status_code == 400
