"""A cache of computed bytes, looked up by the content that they were computed from."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import diskcache  # type: ignore[import-untyped]  # it comes without types

from similarity.errors import UserError, one_line

_DROPPED_PER_ENTRY = 2  # while the database is too large: it shrinks only when a transaction ends
_LARGEST_ROW = 1 << 30  # bytes; larger entries would get a file of their own
_DEFAULT_GB = "10"


class ContentCache:
    """Bytes by key in one bounded database, which processes may share.

    It never stops a run: if the folder or the database cannot be used, nothing is found and nothing is kept.

    Attributes:
        problem: why the cache is not used, None while it is.
    """

    def __init__(self, folder: Path, namespace: str, limit_gb: float) -> None:
        """Open the cache in a folder, which need not exist.

        The namespace identifies everything but the keys that decides the stored bytes. Above the limit, in 10⁹ bytes,
        entries unused for the longest time make room; 0 turns the cache off.
        """
        self.problem: str | None = None if limit_gb else "it is turned off"
        self._namespace = namespace
        self._cache: Any = None
        if limit_gb:
            with self._without_stopping():
                self._cache = diskcache.Cache(
                    folder, eviction_policy="least-recently-used", size_limit=int(limit_gb * 1e9),
                    cull_limit=_DROPPED_PER_ENTRY, disk_min_file_size=_LARGEST_ROW,
                )  # fmt: skip

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Look up entries, at best a few hundred, in one transaction; return those that are there."""
        if self.problem is None:
            with self._without_stopping(), self._cache.transact():
                found = {key: self._cache.get(f"{self._namespace}/{key}") for key in keys}
                return {key: value for key, value in found.items() if value is not None}
        return {}

    def put_many(self, items: Mapping[str, bytes]) -> None:
        """Store entries, at best a few hundred, in one transaction."""
        if self.problem is None:
            with self._without_stopping(), self._cache.transact():
                for key, value in items.items():
                    self._cache.set(f"{self._namespace}/{key}", value)

    def close(self) -> None:
        """Close the database."""
        if self._cache is not None:
            self._cache.close()

    @contextmanager
    def _without_stopping(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            self.problem = f"{one_line(error) or 'it is locked, or read-only'} (if it is damaged, remove it)"


def cache_limit_gb() -> float:
    """Return the limit that the environment sets for each cache, in 10⁹ bytes."""
    text = os.environ.get("IMAGE_SIMILARITY_CACHE_GB", _DEFAULT_GB)
    with suppress(ValueError):
        if 0 <= float(text) < 1e9:
            return float(text)
    raise UserError(f"IMAGE_SIMILARITY_CACHE_GB: {text!r} is not a size in GB (10⁹ bytes); 0 turns the cache off")
