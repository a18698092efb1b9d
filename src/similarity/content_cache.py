"""A cache of computed bytes, looked up by the content that they were computed from."""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import diskcache  # type: ignore[import-untyped]  # it comes without types

from similarity.errors import UserError

_PER_TRANSACTION = 500
_DROPPED_PER_ENTRY = 2  # while the database is too large: it shrinks only when a transaction ends
_LARGEST_ROW = 1 << 30  # bytes; larger entries would get a file of their own
_DEFAULT_GB = "10"
_FAILURES = (OSError, sqlite3.Error, diskcache.Timeout)


class _BytesOnly(diskcache.Disk):
    """Stores bytes as they are, and never unpickles what another program may have written."""

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        return b"" if mode == diskcache.core.MODE_PICKLE else super().fetch(mode, filename, value, read)


class ContentCache:
    """Bytes by key in one bounded database, which processes may share.

    It never stops a run: if the folder cannot be used, nothing is found and nothing is kept. A damaged entry counts as
    missing, and a damaged database is replaced by an empty one.

    Attributes:
        problem: why the cache is not used, None while it is.
    """

    def __init__(self, folder: Path, namespace: str, limit_gb: float) -> None:
        """Open the cache.

        Args:
            folder: of the database; need not exist.
            namespace: identifies everything but the keys that decides the stored bytes.
            limit_gb: size limit in 10⁹ bytes; entries unused for the longest time make room. 0 turns the cache off.
        """
        self.problem: str | None = None if limit_gb else "it is turned off"
        self._folder, self._namespace, self._cache = folder, namespace, cast("Any", None)
        if limit_gb:
            with self._without_stopping():
                self._cache = _open(folder, limit_gb)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Look up entries; return those that are there and intact, by key."""
        found = dict[str, bytes]()
        with self._without_stopping():
            for chunk in _chunks(keys) if self._cache is not None else ():
                with self._cache.transact():
                    stored = [(key, self._cache.get(f"{self._namespace}/{key}", b"")) for key in chunk]
                found |= {key: value[4:] for key, value in stored if value[:4] == _checksum(key, value[4:])}
        return found

    def put_many(self, items: Mapping[str, bytes]) -> None:
        """Store entries, a few hundred per transaction."""
        with self._without_stopping():
            for chunk in _chunks(items) if self._cache is not None else ():
                with self._cache.transact():
                    for key in chunk:
                        self._cache.set(f"{self._namespace}/{key}", _checksum(key, items[key]) + items[key])

    def close(self) -> None:
        """Close the database; nothing more is found or kept."""
        cache, self._cache = self._cache, None
        if cache is not None:
            with suppress(*_FAILURES):
                cache.close()

    @contextmanager
    def _without_stopping(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            self.close()
            self.problem = " ".join(str(error).split()) or "it is locked by another process, or read-only"
            if _is_damaged(error):
                _remove(self._folder)


def cache_limit_gb() -> float:
    """Return the limit that the environment sets for each cache, in 10⁹ bytes.

    Raises:
        UserError: it is not a number, or negative.
    """
    text = os.environ.get("IMAGE_SIMILARITY_CACHE_GB", _DEFAULT_GB)
    with suppress(ValueError):
        if 0 <= float(text) < 1e9:
            return float(text)
    raise UserError(f"IMAGE_SIMILARITY_CACHE_GB: {text!r} is not a size in GB (10⁹ bytes); 0 turns the cache off")


def _open(folder: Path, limit_gb: float) -> Any:
    settings = {"size_limit": int(limit_gb * 1e9), "cull_limit": _DROPPED_PER_ENTRY, "disk_min_file_size": _LARGEST_ROW}
    open_cache = partial(diskcache.Cache, folder, disk=_BytesOnly, eviction_policy="least-recently-used", **settings)
    try:
        return open_cache()
    except sqlite3.DatabaseError as error:
        if not _is_damaged(error):
            raise
        _remove(folder)
        return open_cache()


def _is_damaged(error: Exception) -> bool:
    """Whether the database is useless, rather than locked, read-only or on a full disk."""
    return type(error) is sqlite3.DatabaseError  # its subclasses stand for other things


def _remove(folder: Path) -> None:
    for path in folder.glob("cache.db*"):
        path.unlink(missing_ok=True)


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while chunk := list(islice(rest, _PER_TRANSACTION)):
        yield chunk


def _checksum(key: str, value: bytes) -> bytes:
    return zlib.crc32(key.encode() + value).to_bytes(4, "little")
