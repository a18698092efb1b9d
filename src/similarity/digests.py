"""Digests of files, by which they are recognized."""

from hashlib import sha256
from pathlib import Path

_BLOCK = 1 << 20


def digest_file(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
