"""Downloads from a real HTTP server on the loopback interface, and the recipes that name them."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from similarity.data.sources.downloads import download, read_recipe
from similarity.errors import UserError

CONTENT = bytes(range(200)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `CONTENT` at every address but those with "missing", and half of it where there is "cut"."""

    requests = 0

    def do_GET(self) -> None:
        Handler.requests += 1
        if "missing" in self.path:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // (2 if "cut" in self.path else 1)])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.requests = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/sets/wares.zip"
        server.shutdown()
        thread.join()


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_the_file_arrives_whole_and_a_second_run_does_not_download_again(
    url: str, tmp_path: Path, sha256: str | None
) -> None:
    path, again = (download(url, sha256, tmp_path) for _ in range(2))
    assert path == again
    assert path.read_bytes() == CONTENT
    assert Handler.requests == 1
    assert files_in(tmp_path) == [path.name]
    path.write_bytes(b"damaged")
    assert download(url, SHA256, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("address", "sha256", "reason"),
    [
        ("{url}/missing", None, "404"),
        ("{url}/cut", None, "100000 bytes read"),
        ("http://127.0.0.1:9/wares.zip", None, "Max retries"),
        ("{url}", "0" * 64, f"does not match the known hash: expected {'0' * 64}"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_nothing_is_kept(
    url: str, tmp_path: Path, address: str, sha256: str | None, reason: str
) -> None:
    with pytest.raises(UserError, match=f"cannot download .*{reason}") as refusal:
        download(address.format(url=url), sha256, tmp_path)
    assert "\n" not in str(refusal.value)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid YAML: "),
        ("title: t\nlicence: l\ncitation: c\n", "exactly one of `url` and `generate`"),
        ("title: t\nlicence: l\ncitation: c\nurl: http://[::1/y\n", "url: Input should be a valid URL"),
        (
            "title: t\nlicence: l\ncitation: c\nurl: http://x/y\nsha265: abc\n",
            "yaml: sha265: Extra inputs are not",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line_and_the_project_has_none(
    tmp_path: Path, content: str, message: str
) -> None:
    for path in (Path(__file__).parents[2] / "data/sources").glob("*.yaml"):
        read_recipe(path)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as refusal:
        read_recipe(recipe)
    assert str(recipe) in str(refusal.value)
    assert "\n" not in str(refusal.value)
