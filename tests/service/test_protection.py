"""What protects the service, and whoever uses it: docs/security.md has the same points."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from projects import Project
from raw_requests import UPLOAD_START, connect, head, push, read_all, until, upload_head
from service_process import TOKEN, StartService

KEY, OTHER = "marble/marble_0003.jpg", "schist/schist_0005.jpg"


@contextmanager
def connections(service: str, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(service)) for _ in range(number)]


def upload(client: httpx.Client, content: bytes) -> httpx.Response:
    return client.post("/api/search", files={"image": ("x", content)})


@pytest.fixture(scope="session")
def content(reproduced: Project) -> bytes:
    """An indexed image."""
    return (reproduced.folder / "data/images" / KEY).read_bytes()


@pytest.fixture(scope="session")
def hurried(start_service: StartService) -> str:
    """A service that gives its clients little time."""
    return start_service(
        "--client-seconds=1", "--upload-seconds=3", "--upload-grace-seconds=1", "--upload-kb-per-second=100",
        "--max-download-mb=0.003",
    )  # fmt: skip


def test_uploads_that_are_announced_and_do_not_come_keep_nobody_away(service: str, content: bytes) -> None:
    with connections(service, 300) as slow, httpx.Client(base_url=service, timeout=30) as client:
        for connection in slow:
            connection.sendall(upload_head(service, 20_000_000) + UPLOAD_START)
        for _ in range(3):
            assert upload(client, content).status_code == 200


@pytest.mark.parametrize(("rate", "least"), [(0, 0.9), (20_000, 0.9), (250_000, 2.9)])
def test_an_upload_that_stalls_drips_or_takes_too_long_is_ended(hurried: str, rate: int, least: float) -> None:
    with connect(hurried) as connection, httpx.Client(base_url=hurried) as client:
        start = client.get("/healthz").elapsed.total_seconds()
        connection.sendall(upload_head(hurried, 1_000_000) + UPLOAD_START)
        seconds = start + drip(connection, rate)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"The upload is too slow: 100 kB per second are needed, and 3 s are allowed in all." in answer
    assert least < seconds < least + 1.5


def drip(connection: socket.socket, rate: int) -> float:
    """Sends at a rate, in bytes per second, until there is an answer; gives the seconds that it took."""
    start = time.monotonic()
    connection.settimeout(0.05)
    while time.monotonic() - start < 10:
        connection.sendall(bytes(rate // 20))
        try:
            connection.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            continue
    connection.settimeout(20)
    return time.monotonic() - start


def test_room_is_taken_by_what_has_come_and_given_back(start_service: StartService, content: bytes) -> None:
    service = start_service("--max-upload-mb=1", "--upload-room-mb=1")
    with connect(service) as large, httpx.Client(base_url=service, timeout=30) as client:
        large.sendall(upload_head(service, 1_010_000) + UPLOAD_START + bytes(1_009_000))
        time.sleep(1)  # for the service to read it all: whoever comes too late for the room is refused
        busy = until(lambda: upload(client, bytes(200_000)), 503)
        assert "Too many uploads at once" in busy.json()["detail"]
        assert busy.headers["retry-after"] == "1"
        large.close()
        until(lambda: upload(client, content), 200)


@pytest.mark.parametrize(
    ("start", "lines", "status"),
    [
        ("GET /healthz HTTP/1.1", ["Content-Length: 18000000000"], 200),
        ("POST /healthz HTTP/1.1", ["Content-Length: 18000000000"], 413),
        ("PUT /healthz HTTP/1.1", ["Content-Length: 18000000000"], 405),
        ("POST /healthz HTTP/1.1", ["Transfer-Encoding: chunked"], 405),
        ("POST /api/search HTTP/1.1", ["Transfer-Encoding: chunked", "Content-Type: text/plain"], 422),
        ("POST /api/search HTTP/1.1", ["Transfer-Encoding: chunked", "Content-Type: multipart/form-data"], 400),
        ("POST /api/search HTTP/1.1", ["Transfer-Encoding: chunked", "Origin: http://evil.example"], 403),
    ],
)
def test_after_its_answer_nothing_more_of_a_body_is_read(
    service: str, start: str, lines: list[str], status: int
) -> None:
    with connect(service) as connection:
        connection.sendall(head(service, start, *lines))
        if "Transfer-Encoding: chunked" in lines:
            connection.sendall(b"%x\r\n" % 18_000_000_000)
        sent = push(connection, 500_000_000)
        answer = read_all(connection)
    assert sent < 30_000_000
    assert not answer or answer.startswith(b"HTTP/1.1 %d" % status)


def test_an_error_closes_the_connection_and_an_answer_does_not(api: httpx.Client) -> None:
    assert api.get("/api/nothing").headers["connection"] == "close"
    assert "connection" not in api.get("/healthz").headers


def test_more_idle_connections_than_file_handles_keep_nobody_away(start_service: StartService) -> None:
    service = start_service(before="ulimit -n 256")
    with connections(service, 1100) as idle:
        assert httpx.get(f"{service}/healthz", timeout=5).status_code == 200
        assert httpx.get(f"{service}/api/images/{KEY}", timeout=5).status_code == 200
        idle[-1].sendall(head(service, "GET /healthz HTTP/1.1", "Connection: close"))
        assert read_all(idle[-1]).startswith(b"HTTP/1.1 200")
        assert read_all(idle[0]) == b""


def test_connections_that_drip_uploads_or_take_no_answers_make_room_as_well(start_service: StartService) -> None:
    service = start_service("--max-connections=6", "--client-seconds=60", "--upload-grace-seconds=60")
    with connections(service, 12) as slow:
        for number, connection in enumerate(slow):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            if number % 2:
                connection.sendall(upload_head(service, 1000) + UPLOAD_START)
            else:
                connection.sendall(head(service, "GET /api/map HTTP/1.1") * 2000)
        until(lambda: httpx.get(f"{service}/healthz", timeout=5), 200)


def test_an_answer_that_is_not_taken_is_not_kept_for_ever(hurried: str) -> None:
    with connect(hurried) as connection:
        connection.sendall(head(hurried, "GET /api/map HTTP/1.1") * 2000)  # of more bytes than the system keeps
        time.sleep(3)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") < 2000


def test_a_download_has_no_more_bytes_than_are_allowed(hurried: str) -> None:
    one, two = (httpx.post(f"{hurried}/api/download", data={"key": keys}) for keys in ([KEY], [KEY, OTHER]))
    assert (one.status_code, two.status_code) == (200, 413)
    assert "too large together: 0.003 MB are allowed" in two.json()["detail"]


def test_the_soft_limit_of_file_handles_is_raised_to_the_hard_one(start_service: StartService) -> None:
    service = start_service("--client-seconds=30", before="ulimit -Sn 110")
    with connections(service, 400) as idle:
        idle[0].sendall(head(service, "GET /healthz HTTP/1.1", "Connection: close"))
        assert read_all(idle[0]).startswith(b"HTTP/1.1 200")


def test_too_few_file_handles_are_told_in_one_line(reproduced: Project) -> None:
    printed = reproduced.run("bash", "-c", "ulimit -n 99; python src/serve.py --port 0", status=1)
    assert printed == "error: only 99 files may be open at once: allow more with `ulimit -n 1024`\n"


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nX: y\r\n"])
def test_a_connection_on_which_no_request_comes_is_closed(hurried: str, start: bytes) -> None:
    with connect(hurried) as connection:
        connection.settimeout(5)
        connection.sendall(start)
        assert read_all(connection) == b""


def test_a_next_request_that_does_not_come_whole_is_not_waited_for_either(hurried: str) -> None:
    with connect(hurried) as connection:
        connection.settimeout(5)
        connection.sendall(head(hurried, "GET /healthz HTTP/1.1") + b"GET /healthz")
        assert read_all(connection).count(b"HTTP/1.1 200") == 1


def test_a_head_without_end_is_refused(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert push(connection, 500_000_000) < 30_000_000
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 66_000)
        assert read_all(connection).startswith(b"HTTP/1.1 431")


def test_requests_that_are_sent_at_once_are_answered_in_their_order(hurried: str) -> None:
    """The bounds on what a client may send must not take the next request for the rest of the one before."""
    with connect(hurried) as connection:
        paths = ["/healthz", f"/api/similar?key={KEY}", "/api/map", f"/api/images/{KEY}", "/healthz"]
        connection.sendall(b"".join(head(hurried, f"GET {path} HTTP/1.1") for path in paths))
        connection.sendall(head(hurried, "GET /api/info HTTP/1.1", "Connection: close"))
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 6
    assert answers.index(b'"novelty"') < answers.index(b'"classes":["') < answers.index(b"JFIF")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_what_the_page_of_another_site_sends_is_refused(service: str, content: bytes, origin: str) -> None:
    with httpx.Client(base_url=service, headers={"Origin": origin}) as client:
        refused = upload(client, content)
        assert refused.status_code == 403
        assert "The page of another site" in refused.json()["detail"]
        assert refused.headers["x-content-type-options"] == "nosniff"


def test_what_the_own_page_sends_is_answered_also_behind_a_proxy(service: str, content: bytes) -> None:
    for origin in (service, f"https://{urlsplit(service).netloc}"):
        with httpx.Client(base_url=service, headers={"Origin": origin}) as client:
            assert upload(client, content).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/info", "/api/images", f"/api/images/{KEY}", "/api/nothing"])
def test_head_answers_as_get_does_without_the_body(api: httpx.Client, path: str) -> None:
    got, asked = api.get(path), api.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    for name in ("content-type", "content-length", "etag"):
        assert asked.headers.get(name) == got.headers.get(name)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"},
     {"Authorization": "Bearer ä".encode("latin-1")}, {"Cookie": f"similarity={TOKEN}"}, {"Cookie": "similarity="}],
)  # fmt: skip
def test_without_the_token_nothing_of_the_api_answers(closed: str, headers: dict, content: bytes) -> None:
    with httpx.Client(base_url=closed, headers=headers) as client:
        for path in ("info", "images", f"images/{KEY}", f"similar?key={KEY}", "map", "openapi.json", "nothing"):
            for prefix in ("api", "%61pi"):
                refused = client.get(f"/{prefix}/{path}")
                assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert [upload(client, content).status_code, client.post("/api/session").status_code] == [401, 401]
        assert [client.get("/").status_code, client.get("/healthz").status_code] == [200, 200]


def test_the_token_opens_the_api_and_a_cookie_that_does_not_tell_it(closed: str, content: bytes) -> None:
    with httpx.Client(base_url=closed) as client:
        session = client.post("/api/session", headers={"Authorization": f"Bearer {TOKEN}"})
        attributes = session.headers["set-cookie"].lower()
        assert "httponly" in attributes
        assert "samesite=strict" in attributes
        assert TOKEN not in attributes
        assert [client.get(f"/api/images/{KEY}").status_code, upload(client, content).status_code] == [200, 200]
    assert httpx.get(f"{closed}/api/info", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_does_not_show_among_the_processes(closed: str) -> None:
    assert closed
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert any(b"src/serve.py" in line for line in lines)
    assert not any(TOKEN.encode() in line for line in lines if b"serve.py" in line)


@pytest.mark.parametrize("token", ["", "short", "with a space in it all", "schlüsselschlüssel"])
def test_a_token_that_protects_nothing_is_refused(reproduced: Project, token: str) -> None:
    environment = {**reproduced.environment, "SIMILARITY_TOKEN": token}
    printed = reproduced._replace(environment=environment).run("python", "src/serve.py", "--port", "0", status=2)
    assert printed.startswith("error: --token: at least 16 letters, digits or signs without spaces are needed")
    assert printed.count("\n") == 1
