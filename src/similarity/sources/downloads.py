"""Downloading a file once, whole, and checked."""

import hashlib
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pooch  # type: ignore[import-untyped]  # it comes without types
import requests
from filelock import FileLock
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from similarity.errors import UserError

_CHUNK = 1 << 20  # bytes
_TIMEOUT_S = 60
_AS_IT_IS = {"Accept-Encoding": "identity"}  # a .tar.gz is not to be unpacked on the way


def download(url: str, sha256: str | None, folder: Path) -> Path:
    """Download a file into a folder, or find it there from an earlier time, and show the progress.

    Args:
        url: http or https.
        sha256: the expected digest in hexadecimal, or None to accept any content.
        folder: where downloads are kept, in a subfolder per address.

    Returns:
        The path of the complete file.

    Raises:
        UserError: no network, an error from the server, or an unexpected digest; nothing is kept.
    """
    place = folder / hashlib.sha256(url.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    name = Path(urlsplit(url).path).name or "download"
    with FileLock(folder / f"{place.name}.lock"):  # experiments in several workers want the same file
        for leftover in {*place.iterdir()} - {place / name}:  # from a killed run
            leftover.unlink()
        pooch.get_logger().setLevel(logging.ERROR)
        try:
            return Path(pooch.retrieve(url, sha256, name, place, downloader=_receive))
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise UserError(f"cannot download {url}: {_reason(error)}") from error


def _receive(url: str, output: Path, asked_by: object) -> None:
    with tqdm(desc="download", total=1, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        receive = pooch.HTTPDownloader(bar, _CHUNK, headers=_AS_IT_IS, timeout=_TIMEOUT_S)
        receive(url, output, asked_by)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError | ValueError):
        return " ".join(str(error).split())
    return f"no connection, or it broke off ({type(error).__name__}): run again"
