"""Against a real HTTP server on the loopback interface."""

import gzip
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
    """Serves `content` at every address; hangs up after `cut` bytes if that is set.

    With `status`, it answers the next request by that status and by none of its own headers but `headers`.
    """

    content = CONTENT
    cut: int | None = None
    etag = '"one"'
    supports_ranges = True
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

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
        if self.server.status is not None:
            return self.answer_oddly(self.server.status)
        start = 0
        if requested and self.server.supports_ranges and self.headers["If-Range"] == self.server.etag:
            start = int(requested.removeprefix("bytes=").rstrip("-"))
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(body if self.server.cut is None else body[: self.server.cut])
        return None

    def answer_oddly(self, status: int) -> None:
        self.server.status = None
        self.send_response(status)
        for header in self.server.headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(self.server.content)

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


def test_a_download_that_was_killed_after_its_last_byte_needs_no_other_than_that_one(
    server: FileServer, tmp_path: Path
) -> None:
    folder = get(server, tmp_path).parent
    (folder / "rocks.zip").rename(folder / "rocks.zip.part")
    (folder / "rocks.zip.part.etag").write_text(server.etag, encoding="utf-8")
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges[1:] == [f"bytes={len(CONTENT) - 1}-"]


ODD_ANSWERS = [
    (416, ()),
    (416, (("Content-Range", f"bytes */{len(CONTENT)}"),)),
    (206, (("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"),)),
    (206, ()),
    (206, (("Content-Type", "multipart/byteranges; boundary=x"),)),
]


@pytest.mark.parametrize(("status", "headers"), ODD_ANSWERS)
def test_a_part_that_does_not_go_on_where_the_last_one_ended_is_not_glued_to_it(
    server: FileServer, tmp_path: Path, status: int, headers: tuple[tuple[str, str], ...]
) -> None:
    server.cut = 2_000_000
    with pytest.raises(UserError):
        get(server, tmp_path)
    server.cut, server.status, server.headers = None, status, headers
    path = get(server, tmp_path, None)
    assert path.read_bytes() == CONTENT
    assert server.ranges[2] is None
    assert sorted(file.name for file in path.parent.iterdir()) == ["lock", "rocks.zip"]


@pytest.mark.parametrize(("status", "headers"), [*ODD_ANSWERS, (204, ()), (202, ())])
def test_an_answer_that_nobody_asked_for_is_told_in_one_line_and_is_no_file(
    server: FileServer, tmp_path: Path, status: int, headers: tuple[tuple[str, str], ...]
) -> None:
    server.status, server.headers = status, headers
    with pytest.raises(UserError, match=f"the server answered {status}"):
        get(server, tmp_path, None)
    assert get(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["abc", "", "-1", "9" * 5000, "²"])
def test_a_length_that_is_none_does_not_matter(server: FileServer, tmp_path: Path, length: str) -> None:
    server.status, server.headers = 200, (("Content-Length", length),)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_compressed_archive_arrives_as_it_is_although_the_server_calls_it_an_encoding(
    server: FileServer, tmp_path: Path
) -> None:
    server.content = gzip.compress(CONTENT)
    server.status, server.headers = 200, (("Content-Encoding", "gzip"),)
    assert get(server, tmp_path, None).read_bytes() == server.content


def test_a_new_version_without_a_mark_is_never_glued_to_a_part_of_the_old_one(
    server: FileServer, tmp_path: Path
) -> None:
    server.cut = 2_000_000
    with pytest.raises(UserError):
        get(server, tmp_path)
    server.status, server.headers, server.content = 200, (("Content-Length", "4000000"),), CONTENT[::-1]
    with pytest.raises(UserError):  # it hangs up early
        get(server, tmp_path)
    assert [path.name for path in tmp_path.rglob("*.etag")] == []


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


def test_a_host_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot download") as refusal:
        download(f"http://{'a' * 70}/rocks.zip", None, tmp_path, lambda *_: None)
    assert "\n" not in str(refusal.value)


def test_no_network_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no connection") as refusal:
        download("http://127.0.0.1:9/rocks.zip", None, tmp_path, lambda *_: None)
    assert "\n" not in str(refusal.value)
