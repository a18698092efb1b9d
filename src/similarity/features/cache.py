"""Features that were computed before, found again by what they were computed from.

A row of features is stored under the digest of the image's bytes and of everything else that decides its bits. So a
renamed image, a fresh clone and a run after one that was killed find what is there, and another backbone never does.
"""

import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.errors import UserError

_KEYS_PER_QUERY = 500
_DAY_S = 86_400
_TIMEOUT_S = 60
_LIMIT_CHECK_EVERY = 16  # additions, each of one batch
_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, used INTEGER, checksum INTEGER, content BLOB);
CREATE INDEX IF NOT EXISTS by_use ON features (used);
"""


class CachedRows(NamedTuple):
    """Features that were in the cache: which of the digests they are of, int64 (b,), and float32 (b, D)."""

    rows: np.ndarray
    features: np.ndarray


class FeatureCache:
    """A bounded store of features in one SQLite file, which processes may share.

    It never stops a run: when the file cannot be used, nothing is found and nothing is kept. A damaged row counts as
    missing, a damaged file is begun anew.

    Attributes:
        problem: why nothing more is found or kept, None while all is well.
    """

    def __init__(self, path: Path, maker: str, max_bytes: int) -> None:
        """Opens the cache.

        Args:
            path: the file; it and its folder need not exist.
            maker: what computes the features, as `features.fingerprint` tells it.
            max_bytes: bound on the file, roughly: what was not used for a day makes room, the longest unused first.
        """
        self.problem: str | None = None
        self._path, self._maker, self._max_bytes, self._additions = path, maker, max_bytes, 0
        self._database: sqlite3.Connection | None = None
        if max_bytes <= 0:
            self.problem = "it is turned off"
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _open(path)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def find(self, digests: Sequence[str], width: int) -> Iterator[CachedRows]:
        """Looks up images by the SHA-256 of their bytes, and yields what is there, in the order of the digests.

        Args:
            digests: of any number of images.
            width: features per image, D.
        """
        for start in range(0, len(digests), _KEYS_PER_QUERY):
            keys = [self._key(digest) for digest in digests[start : start + _KEYS_PER_QUERY]]
            contents = self._read(keys)
            intact = [i for i, key in enumerate(keys) if len(contents.get(key, b"")) == 4 * width]
            if intact:
                features = np.frombuffer(b"".join(contents[keys[i]] for i in intact), np.float32)
                yield CachedRows(start + np.array(intact), features.reshape(-1, width))

    def add(self, digests: Sequence[str], features: np.ndarray) -> None:
        """Keeps the features, float32 (b, D), of some images, and makes room for them if need be."""
        if self._database is None:
            return
        now = int(time.time())
        contents = (np.ascontiguousarray(row, np.float32).tobytes() for row in features)
        entries = [
            (key, now, zlib.crc32(key + content), content)
            for key, content in zip(map(self._key, digests), contents, strict=True)
        ]
        try:
            with self._database as transaction:
                transaction.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)", entries)
            self._additions += 1
            if self._additions % _LIMIT_CHECK_EVERY == 1:
                self._make_room(now)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Closes the file; nothing more is found or kept."""
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _key(self, digest: str) -> bytes:
        return sha256(f"{self._maker} {digest}".encode()).digest()[:20]

    def _read(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """The undamaged contents, by their keys, which from now on count as used."""
        if self._database is None:
            return {}
        marks, now = ",".join("?" * len(keys)), int(time.time())
        try:
            with self._database as transaction:
                query = f"SELECT key, checksum, content FROM features WHERE key IN ({marks})"  # noqa: S608  # only marks
                rows = transaction.execute(query, keys).fetchall()
                touch = f"UPDATE features SET used = ? WHERE used < ? AND key IN ({marks})"  # noqa: S608  # as above
                transaction.execute(touch, [now, now - _DAY_S // 2, *keys])
        except sqlite3.Error as error:
            self._give_up(error)
            return {}
        return {
            key: content
            for key, checksum, content in rows
            if isinstance(content, bytes) and zlib.crc32(key + content) == checksum
        }

    def _make_room(self, now: int) -> None:
        """Drops what was not used for a day while the file is too large; if that is not enough, keeps no more."""
        assert self._database is not None
        while self._size() > self._max_bytes:
            with self._database as transaction:
                dropped = transaction.execute(
                    "DELETE FROM features WHERE key IN (SELECT key FROM features WHERE used < ? ORDER BY used LIMIT ?)",
                    (now - _DAY_S, _KEYS_PER_QUERY),
                )
            self._database.execute("PRAGMA incremental_vacuum").fetchall()
            if dropped.rowcount == 0:
                self.close()
                self.problem = f"it is full ({self._max_bytes / 1e9:g} GB, all of it used within a day)"
                return

    def _size(self) -> int:
        """Bytes of the file."""
        assert self._database is not None
        pages, size = (self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return pages * size

    def _give_up(self, error: Exception) -> None:
        self.close()
        self.problem = " ".join(str(error).split())
        if _is_damaged(error):
            with suppress(OSError):
                _remove(self._path)


def cache_limit(gigabytes: str) -> int:
    """The bound in bytes, from a setting in 10⁹ bytes.

    Raises:
        UserError: it is no number, or negative.
    """
    with suppress(ValueError):
        if 0 <= float(gigabytes) < 1e9:
            return int(float(gigabytes) * 1e9)
    raise UserError(f"IMAGE_SIMILARITY_CACHE_GB: {gigabytes!r} is not a size in GB (10⁹ bytes); 0 turns the cache off")


def _open(path: Path) -> sqlite3.Connection:
    """Opens the file, after it was removed if it is damaged."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if not _is_damaged(error):
            raise
        _remove(path)
        return _connect(path)


def _is_damaged(error: Exception) -> bool:
    """Whether the file is of no use, rather than locked, not to be written, or on a full disk."""
    return type(error) is sqlite3.DatabaseError  # its subclasses tell of other things


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_TIMEOUT_S)
    try:
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database
