import sqlite3
from pathlib import Path
from unittest.mock import Mock

import pytest

from similarity.data.content_cache import ContentCache, cache_limit_gb
from similarity.errors import UserError

ENTRIES = {f"key {number}": bytes([number % 256]) * 50 for number in range(1200)}


def test_the_database_stays_within_its_limit(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, "made so", 0.002)
    for key in ENTRIES:
        cache.put_many({key: bytes(10_000)})
    assert 0 < len(cache.get_many(ENTRIES)) < 200
    assert cache.problem is None


def test_a_cache_that_is_turned_off_or_cannot_be_used_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cache in (ContentCache(tmp_path / "off", "made so", 0), ContentCache(tmp_path / "file", "made so", 1)):
        cache.put_many(ENTRIES)
        assert cache.get_many(ENTRIES) == {}
        assert cache.problem
    assert not (tmp_path / "off").exists()
    (tmp_path / "cache.db").write_bytes(b"no database" * 1000)
    damaged = ContentCache(tmp_path, "made so", 1)
    assert damaged.get_many(ENTRIES) == {}
    assert "not a database (if it is damaged, remove it)" in str(damaged.problem)


def test_the_database_is_closed_even_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ContentCache(tmp_path, "made so", 1)
    close = Mock()
    monkeypatch.setattr("diskcache.Cache.close", close)
    monkeypatch.setattr("diskcache.Cache.transact", Mock(side_effect=sqlite3.OperationalError("disk I/O error")))
    assert cache.get_many(ENTRIES) == {}
    cache.close()
    close.assert_called_once()


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", "2.5")
    assert cache_limit_gb() == 2.5
    for wrong in ("-1", "many", "nan"):
        monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", wrong)
        with pytest.raises(UserError, match="IMAGE_SIMILARITY_CACHE_GB"):
            cache_limit_gb()
