"""What protects the service and those who use it: docs/explanation/threat-model.md has the same points."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from raw_requests import UPLOAD_START, connect, head, read_all, until, upload_head
from service_process import TOKEN, ServiceProcesses

KEY, OTHER = "jug/jug_0003.jpg", "vase/vase_0005.jpg"
NAME = "images.example.org"


@contextmanager
def connections(service: str, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(service)) for _ in range(number)]


def upload(service: str, content: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{service}/api/search", files={"image": ("x", content)}, headers=headers, timeout=30)


def test_uploads_that_are_announced_and_never_come_block_nobody(service: str, content: bytes) -> None:
    with connections(service, 300) as slow:
        for connection in slow:
            connection.sendall(upload_head(service, 20_000_000) + UPLOAD_START)
        assert upload(service, content).status_code == 200


def test_an_upload_that_takes_too_long_is_ended(strict: str) -> None:
    start = time.monotonic()
    with connect(strict) as connection:
        connection.sendall(upload_head(strict, 1_000_000) + UPLOAD_START)
        while time.monotonic() < start + 1.5:  # it comes, but too slowly
            connection.sendall(bytes(1000))
            time.sleep(0.1)
        answer = read_all(connection)
    assert 1.9 < time.monotonic() - start < 3.5
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"The upload is too slow: 2 s are allowed." in answer


def test_room_is_taken_by_what_has_arrived_and_given_back(strict: str, content: bytes) -> None:
    with connect(strict) as large:
        large.sendall(upload_head(strict, 1_010_000) + UPLOAD_START + bytes(1_009_000))
        time.sleep(0.5)
        busy = upload(strict, bytes(200_000))
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert "Too many uploads at once" in busy.json()["detail"]
        large.close()
        until(lambda: upload(strict, content), 200)


@pytest.mark.parametrize(
    ("start", "lines", "status"),
    [
        ("POST /api/search HTTP/1.1", ["Content-Length: 18000000000", "Content-Type: multipart/form-data"], 413),
        ("POST /healthz HTTP/1.1", ["Transfer-Encoding: chunked"], 405),
        ("POST /api/search HTTP/1.1", ["Transfer-Encoding: chunked", "Content-Type: multipart/form-data"], 400),
        ("POST /api/search HTTP/1.1", ["Transfer-Encoding: chunked", "Origin: http://evil.example"], 403),
    ],
)
def test_after_an_error_nothing_more_of_a_body_is_read(service: str, start: str, lines: list[str], status: int) -> None:
    with connect(service) as connection:
        connection.sendall(head(service, start, *lines))
        if "Transfer-Encoding: chunked" in lines:
            connection.sendall(b"%x\r\n" % 18_000_000_000)
        with pytest.raises(ConnectionError):  # before 30 MB are taken
            for _ in range(300):
                connection.sendall(bytes(100_000))
        answer = read_all(connection)
    assert not answer or answer.startswith(b"HTTP/1.1 %d" % status)


def test_more_connections_than_allowed_are_refused_until_idle_ones_are_closed(strict: str) -> None:
    with connections(strict, 7) as many:
        for connection in many:
            connection.sendall(head(strict, "GET /healthz HTTP/1.1"))
        assert any(connection.recv(12) == b"HTTP/1.1 503" for connection in many)
        until(lambda: httpx.get(f"{strict}/healthz"), 200)


def test_a_head_without_end_is_refused(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 66_000)
        assert read_all(connection).startswith(b"HTTP/1.1 400")


def test_a_download_has_no_more_bytes_than_allowed(strict: str) -> None:
    one, two = (httpx.post(f"{strict}/api/download", data={"key": keys}) for keys in ([KEY], [KEY, OTHER]))
    assert (one.status_code, two.status_code) == (200, 413)
    assert "too large together: 0.002 MB are allowed" in two.json()["detail"]


def test_what_the_page_of_another_site_sends_is_refused_and_our_own_is_answered(service: str, content: bytes) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        refused = upload(service, content, Origin=origin)
        assert (refused.status_code, refused.json()["code"]) == (403, "foreign_page")
    for origin in (service, f"https://{urlsplit(service).netloc}"):  # the second behind a proxy
        assert upload(service, content, Origin=origin).status_code == 200


def test_every_response_has_the_security_headers(api: httpx.Client) -> None:
    for path, host in (("/", "localhost"), ("/api/nothing", "localhost"), ("/", "evil.example")):
        response = api.get(path, headers={"Host": host})
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "server" not in response.headers


def test_a_page_of_an_allowed_site_may_use_the_api_and_no_other(closed: str, content: bytes) -> None:
    site, other = "https://lab.example.org", "https://evil.example"
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for origin, statuses in ((site, (200, 200)), (other, (400, 403))):
        allowed = httpx.options(f"{closed}/api/search", headers={"Origin": origin, **asked})
        found = upload(closed, content, Origin=origin, Authorization=f"Bearer {TOKEN}")
        assert (allowed.status_code, found.status_code) == statuses
        for each in (allowed, found):
            assert (each.headers.get("access-control-allow-origin") == site) == (origin == site)


def test_head_answers_like_get_without_the_body(api: httpx.Client) -> None:
    for path in ("/", "/healthz", f"/api/images/{KEY}", "/api/nothing"):
        got, asked = api.get(path), api.head(path)
        assert (asked.status_code, asked.content) == (got.status_code, b"")
        for name in ("content-type", "content-length", "etag"):
            assert asked.headers.get(name) == got.headers.get(name)


def test_without_the_token_no_call_answers(closed: str) -> None:
    wrong: list[dict] = [{"Authorization": each} for each in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", b"Bearer \xe4")]
    for headers in [{}, {"Cookie": f"similarity={TOKEN}"}, *wrong]:
        with httpx.Client(base_url=closed, headers=headers) as client:
            for path in ("metrics", f"api/images/{KEY}", "%61pi/openapi.json", "api/nothing", "api/v1/info"):
                refused = client.get(f"/{path}")
                assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            posted = [client.post(f"/api/{name}").status_code for name in ("search", "session", "reload")]
            assert posted == [401, 401, 401]
            assert [client.get("/").status_code, client.get("/healthz").status_code] == [200, 200]


def test_the_token_opens_the_api_and_so_does_a_cookie_that_hides_it(closed: str) -> None:
    with httpx.Client(base_url=closed) as client:
        session = client.post("/api/session", headers={"Authorization": f"Bearer {TOKEN}"})
        attributes = session.headers["set-cookie"].lower()
        assert all(name in attributes for name in ("httponly", "samesite=strict"))
        assert TOKEN not in attributes
        assert client.get(f"/api/images/{KEY}").status_code == 200
        assert client.post("/api/search", data={"key": KEY}).status_code == 200


@pytest.fixture(scope="module")
def behind_proxy(services: ServiceProcesses) -> str:
    """A service under another name, and below a prefix that the proxy takes away."""
    options = "--host=0.0.0.0", "--root-path=/similar/", f"--allow-host={NAME}", "--allow-host=*.internal"
    return services.start(*options, before=f"export SIMILARITY_TOKEN='{TOKEN}'")


def test_all_is_found_below_the_prefix(behind_proxy: str, content: bytes) -> None:
    headers = {"Host": NAME, "Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=behind_proxy, headers=headers) as client:
        for path in ("/", "/page.css", "/api/docs/", "/healthz"):
            assert client.get(path).status_code == 200
        assert client.get(f"/api/images/{KEY}").content == content
        found = client.post("/api/search", files={"image": ("x", content)}, headers={"Origin": f"https://{NAME}"})
        assert found.json()["answer"]["neighbors"][0]["key"] == KEY
        assert "no such parameter" in client.get("/api/images?x=1").json()["detail"]
        assert client.get("/api/openapi.json").json()["servers"] == [{"url": "/similar"}]
        assert "path=/similar/api;" in client.post("/api/session").headers["set-cookie"].lower()
        client.cookies.clear()
        for path in ("/api/info", "/api/search", "/%61pi/info"):
            assert client.get(path, headers={"Authorization": ""}).status_code == 401


def test_only_its_own_names_are_answered(behind_proxy: str) -> None:
    own = NAME, f"{NAME.upper()}:8443", "a.b.internal", "localhost:1", "[::1]:80"
    for host in (*own, "192.0.2.7", "evil.example", f"{NAME}.evil.example", "internal", ""):
        expected = (200, 401) if host in own else (400, 400)  # nothing is said to those with a wrong name
        answers = (httpx.get(f"{behind_proxy}{path}", headers={"Host": host}) for path in ("/healthz", "/api/info"))
        assert tuple(each.status_code for each in answers) == expected
