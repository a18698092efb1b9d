"""Downloading a file once, whole, and checked."""

import fcntl
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from similarity.digests import digest_file
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
    with target.with_name("lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # experiments in several workers want the same file
        if not target.exists() or (sha256 is not None and digest_file(target) != sha256):
            _download(url, sha256, target, progress)
    return target


def _download(url: str, sha256: str | None, target: Path, progress: Progress) -> None:
    partial = target.with_name(f"{target.name}.part")
    try:
        _receive(url, partial, progress)
    except (requests.RequestException, HTTPError) as error:  # the latter, of urllib3, comes while the body is read
        raise UserError(
            f"cannot download {url}: {_reason(error)}; the part received was kept; run again to resume"
        ) from error
    received = digest_file(partial)
    if sha256 is not None and received != sha256:
        partial.unlink()
        raise UserError(
            f"{url} has sha256 {received}, the recipe expects {sha256}: "
            "the file was changed or damaged; correct the recipe if you trust the new one"
        )
    partial.replace(target)


def _receive(url: str, partial: Path, progress: Progress) -> None:
    # The validator goes with the partial file: without it, parts of two versions could be glued together.
    validator = partial.with_name(f"{partial.name}.etag")
    headers, start = {"Accept-Encoding": "identity"}, 0
    if partial.exists() and validator.exists():
        # The last byte is asked for again: of a file that is complete, a server has no other part to send.
        start = max(0, partial.stat().st_size - 1)
        headers |= {"Range": f"bytes={start}-", "If-Range": validator.read_text(encoding="utf-8")}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        place = _place(response, start)
        if place == 0:
            _begin(response, partial, validator)
        if place is not None:
            _write(response, partial, place, progress)
    validator.unlink(missing_ok=True)
    if place is None:
        _receive(url, partial, progress)  # from the start, as there is no validator any more


def _place(response: requests.Response, start: int) -> int | None:
    """Where in the file the body of an answer belongs: at its start, or at the byte that was asked for; or nowhere."""
    if response.status_code == requests.codes.ok:
        return 0
    if start and response.status_code == requests.codes.requested_range_not_satisfiable:
        return None
    if start and response.status_code == requests.codes.partial_content:
        return start if response.headers.get("Content-Range", "").startswith(f"bytes {start}-") else None
    raise requests.HTTPError(response=response)


def _begin(response: requests.Response, partial: Path, validator: Path) -> None:
    """Removes what there is of an older version, and only then notes the new one's mark."""
    partial.unlink(missing_ok=True)
    validator.unlink(missing_ok=True)
    mark = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if mark:
        validator.write_text(mark, encoding="utf-8")


def _write(response: requests.Response, partial: Path, start: int, progress: Progress) -> None:
    """Writes the body of an answer into the file, from a byte on; checks the length if the server tells a valid one."""
    length, received = response.headers.get("Content-Length", ""), start
    total = start + int(length) if re.fullmatch("[0-9]{1,18}", length) else None
    with partial.open("r+b" if start else "wb") as file:
        file.seek(start)
        for chunk in response.raw.stream(_CHUNK, decode_content=False):  # a .tar.gz stays one
            file.write(chunk)
            received += len(chunk)
            progress(received, total)
    if total is not None and received != total:
        raise requests.ConnectionError(f"the connection ended after {received} of {total} bytes")


def _reason(error: requests.RequestException | HTTPError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    return f"no connection ({type(error).__name__})" if not str(error).startswith("the ") else str(error)
