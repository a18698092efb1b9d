"""Features that were computed before, found again by what they were computed from.

A row of features is stored under the digest of the image's bytes and of everything else that decides its bits. So a
renamed image, a fresh clone and a run after one that was killed find what is there, and another backbone never does.
"""

import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from diskcache import Cache, Disk, Timeout
from platformdirs import user_cache_path

from similarity.errors import UserError

LIMIT = "IMAGE_SIMILARITY_CACHE_GB"
"""Name of the environment variable that bounds the cache, in 10⁹ bytes."""

_DEFAULT_LIMIT = "10"
_KEYS_PER_TRANSACTION = 500
_TIMEOUT_S = 60


class _BytesDisk(Disk):
    """Keeps all values in the database, and never unpickles one: somebody may have changed the file."""

    def fetch(self, _mode: int, _filename: str | None, value: object, _read: bool) -> object:
        return value

    def remove(self, file_path: str) -> None:
        pass


class FeatureCache:
    """A bounded store of features in a folder that processes may share; the least recently used ones make room.

    It never stops a run: when the folder cannot be used, nothing is found and nothing is kept. A damaged row counts as
    missing, a damaged file is removed.

    Attributes:
        problem: why nothing more is found or kept; None while all is well.
    """

    def __init__(self, maker: str, max_bytes: int, folder: Path | None = None) -> None:
        """Open the cache.

        Args:
            maker: what computes the features, a `fingerprint`.
            max_bytes: bound on the file, roughly; 0 turns the cache off.
            folder: need not exist; by default one in the user's folder of caches.
        """
        self.folder = folder or user_cache_path("image-similarity") / "features"
        self.problem: str | None = None
        self._maker, self._cache = maker, None
        if max_bytes > 0:
            try:
                self._cache = Cache(
                    str(self.folder), _TIMEOUT_S, _BytesDisk, disk_min_file_size=1 << 30, size_limit=max_bytes,
                    eviction_policy="least-recently-used", cull_limit=0,
                )  # fmt: skip
            except (OSError, sqlite3.Error, Timeout) as error:
                self._give_up(error)

    def find(self, digests: Sequence[str], width: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Look up images by the SHA-256 of their bytes, and yield what is there, in the order of the digests.

        Args:
            digests: of any number of images.
            width: features per image, D.

        Yields:
            The numbers of the digests that were found, int64 (b,), and their features, float32 (b, D).
        """
        for start in range(0, len(digests), _KEYS_PER_TRANSACTION):
            contents = self._read([self._key(digest) for digest in digests[start : start + _KEYS_PER_TRANSACTION]])
            intact = [number for number, content in enumerate(contents) if len(content) == 4 * width]
            features = np.frombuffer(b"".join(contents[number] for number in intact), np.float32)
            yield start + np.array(intact, np.int64), features.reshape(-1, width)

    def add(self, digests: Sequence[str], features: np.ndarray) -> None:
        """Keep the features, float32 (b, D), of some images."""
        if self._cache is None:
            return
        try:
            with self._cache.transact():
                for digest, row in zip(digests, features, strict=True):
                    key, content = self._key(digest), np.ascontiguousarray(row, np.float32).tobytes()
                    self._cache.set(key, _checksum(key, content) + content)
            if self._cache.volume() > self._cache.size_limit:
                self._cache.cull()
        except (OSError, sqlite3.Error, Timeout) as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file; nothing more is found or kept."""
        if self._cache is not None:
            with suppress(sqlite3.Error):
                self._cache.close()
            self._cache = None

    def _key(self, digest: str) -> bytes:
        return sha256(f"{self._maker} {digest}".encode()).digest()[:20]

    def _read(self, keys: list[bytes]) -> list[bytes]:
        """Read the contents for some keys, which count as used from now on; empty where there is none undamaged."""
        if self._cache is None:
            return [b""] * len(keys)
        try:
            with self._cache.transact():
                values = [self._cache.get(key, b"") for key in keys]
        except (OSError, sqlite3.Error, Timeout) as error:
            self._give_up(error)
            return [b""] * len(keys)
        return [
            value[4:] if isinstance(value, bytes) and value[:4] == _checksum(key, value[4:]) else b""
            for key, value in zip(keys, values, strict=True)
        ]

    def _give_up(self, error: Exception) -> None:
        self.close()
        self.problem = " ".join(str(error).split()) or f"no answer within {_TIMEOUT_S} s"
        if type(error) is sqlite3.DatabaseError:  # damaged; its subclasses say that it is locked, or the disk full
            shutil.rmtree(self.folder, ignore_errors=True)


def cache_limit() -> int:
    """Read the bound on the cache, in bytes, from the environment.

    Raises:
        UserError: it is no number, or negative.
    """
    gigabytes = os.environ.get(LIMIT, _DEFAULT_LIMIT)
    with suppress(ValueError):
        if 0 <= float(gigabytes) < 1e9:
            return int(float(gigabytes) * 1e9)
    raise UserError(f"{LIMIT}: {gigabytes!r} is not a size in GB (10⁹ bytes); 0 turns the cache off")


def _checksum(key: bytes, content: bytes) -> bytes:
    return zlib.crc32(key + content).to_bytes(4, "little")
