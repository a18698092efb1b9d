"""Against a real HTTP server on the loopback interface."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from similarity.errors import UserError
from similarity.sources.downloads import download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves `content` at every address; hangs up after `cut` bytes if that is set."""

    content = CONTENT
    cut: int | None = None
    etag = '"one"'
    supports_ranges = True

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/sets/rocks.zip"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        requested = self.headers["Range"]
        self.server.ranges.append(requested)
        if "missing" in self.path:
            return self.send_error(404)
        start = 0
        if requested and self.server.supports_ranges and self.headers["If-Range"] == self.server.etag:
            start = int(requested.removeprefix("bytes=").rstrip("-"))
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        self.wfile.write(body if self.server.cut is None else body[: self.server.cut])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: FileServer, folder: Path, sha256: str | None = SHA256) -> Path:
    return download(server.url, sha256, folder, lambda *_: None)


def test_the_file_arrives_whole_and_progress_reaches_the_total(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(server.url, SHA256, tmp_path, lambda *step: seen.append(step))
    assert path.name == "rocks.zip"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(file.name for file in path.parent.iterdir()) == ["lock", "rocks.zip"]


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_second_run_does_not_download_again(server: FileServer, tmp_path: Path, sha256: str | None) -> None:
    assert get(server, tmp_path, sha256) == get(server, tmp_path, sha256)
    assert len(server.ranges) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.cut = 2_000_000
    with pytest.raises(UserError, match="run again to resume"):
        get(server, tmp_path)
    server.cut = None
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges[1] is not None
    assert server.ranges[1] != "bytes=0-"


def test_a_file_that_changed_meanwhile_is_downloaded_from_the_start(server: FileServer, tmp_path: Path) -> None:
    server.cut = 2_000_000
    with pytest.raises(UserError):
        get(server, tmp_path)
    server.cut, server.etag, server.content = None, '"two"', CONTENT[::-1]
    assert get(server, tmp_path, None).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_sends_everything_again(server: FileServer, tmp_path: Path) -> None:
    server.cut = 2_000_000
    with pytest.raises(UserError):
        get(server, tmp_path)
    server.cut, server.supports_ranges = None, False
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_wrong_digest_is_refused_and_nothing_is_kept(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"has sha256 {SHA256}, the recipe expects {'0' * 64}"):
        get(server, tmp_path, "0" * 64)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


def test_two_processes_that_want_the_same_file_download_it_once(server: FileServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: get(server, tmp_path), range(2)))
    assert paths[0].read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_a_damaged_earlier_download_is_replaced(server: FileServer, tmp_path: Path) -> None:
    get(server, tmp_path).write_bytes(b"damaged")
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_an_error_of_the_server_is_told_in_one_line(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the server answered 404"):
        download(f"{server.url}/missing", None, tmp_path, lambda *_: None)


def test_no_network_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no connection") as refusal:
        download("http://127.0.0.1:9/rocks.zip", None, tmp_path, lambda *_: None)
    assert "\n" not in str(refusal.value)
