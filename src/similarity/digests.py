"""Digests by which files are known to be what they were."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

_BLOCK = 1 << 20


def digest_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def digest_files(paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of some files, and of all files in some folders, by their paths; in several threads."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    with ThreadPoolExecutor() as pool:
        return dict(zip(map(str, files), pool.map(digest_file, files), strict=True))
