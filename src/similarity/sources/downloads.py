"""Downloading a file once, whole, and checked."""

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests

from similarity.errors import UserError

_CHUNK = 1 << 20
_TIMEOUT_S = 60

Progress = Callable[[int, int | None], None]
"""Takes the bytes received so far and, if known, the total."""


def download(url: str, sha256: str | None, folder: Path, progress: Progress) -> Path:
    """Downloads a file into a folder, or finds it there from an earlier time.

    An interrupted download is resumed if the server still has the same file and can send parts of it.

    Args:
        url: http or https.
        sha256: the expected digest in hexadecimal, or None to take what comes.
        folder: where downloads are kept, a subfolder for each address.
        progress: called after every piece.

    Returns:
        The path of the complete file.

    Raises:
        UserError: no network, an error of the server, or another digest than expected (the file is then removed).
    """
    target = folder / hashlib.sha256(url.encode()).hexdigest()[:16] / (Path(urlsplit(url).path).name or "download")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # experiments in several workers want the same file
        if not target.exists() or (sha256 is not None and digest(target) != sha256):
            _download(url, sha256, target, progress)
    return target


def _download(url: str, sha256: str | None, target: Path, progress: Progress) -> None:
    partial = target.with_name(f"{target.name}.part")
    try:
        _receive(url, partial, progress)
    except requests.RequestException as error:
        raise UserError(
            f"cannot download {url}: {_reason(error)}; the part received was kept; run again to resume"
        ) from error
    received = digest(partial)
    if sha256 is not None and received != sha256:
        partial.unlink()
        raise UserError(
            f"{url} has sha256 {received}, the recipe expects {sha256}: "
            "the file was changed or damaged; correct the recipe if you trust the new one"
        )
    partial.replace(target)


def digest(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        hasher = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _receive(url: str, partial: Path, progress: Progress) -> None:
    # The validator goes with the partial file: without it, parts of two versions could be glued together.
    validator = partial.with_name(f"{partial.name}.etag")
    headers = {"Accept-Encoding": "identity"}
    if partial.exists() and validator.exists():
        headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": validator.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            validator.unlink()
            return  # all of it had arrived before
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        received = partial.stat().st_size if resumed else 0
        total = received + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if mark:
            validator.write_text(mark)
        with partial.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                received += len(chunk)
                progress(received, total)
    if total is not None and received != total:
        raise requests.ConnectionError(f"the connection ended after {received} of {total} bytes")
    validator.unlink(missing_ok=True)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    return f"no connection ({type(error).__name__})" if not str(error).startswith("the ") else str(error)
