import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from similarity.errors import UserError
from similarity.features import cache as cache_module
from similarity.features.cache import FeatureCache, cache_limit

WIDTH, PLENTY = 240, 10**9
DIGESTS = [sha256(bytes([i])).hexdigest() for i in range(200)]
FEATURES = np.random.default_rng(0).standard_normal((200, WIDTH)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cache with the first 150 features."""
    path = tmp_path / "new" / "features.sqlite"
    with closing(FeatureCache(path, "maker", PLENTY)) as cache:
        cache.add(DIGESTS[:100], FEATURES[:100])
        cache.add(DIGESTS[100:150], FEATURES[100:150])
        assert cache.problem is None
    return path


def found(path: Path, digests: list[str] = DIGESTS, maker: str = "maker", limit: int = PLENTY) -> dict[int, bytes]:
    with closing(FeatureCache(path, maker, limit)) as cache:
        blocks = list(cache.find(digests, WIDTH))
    return {row: values.tobytes() for rows, block in blocks for row, values in zip(rows.tolist(), block, strict=True)}


def test_what_was_added_is_found_by_its_digest_in_any_order(path: Path) -> None:
    assert found(path) == {row: FEATURES[row].tobytes() for row in range(150)}
    assert found(path, DIGESTS[::-1]) == {199 - row: FEATURES[row].tobytes() for row in range(150)}


def test_another_maker_finds_nothing(path: Path) -> None:
    assert found(path, maker="another backbone") == {}


def test_another_number_of_features_is_not_taken(path: Path) -> None:
    with closing(FeatureCache(path, "maker", PLENTY)) as cache:
        assert list(cache.find(DIGESTS, WIDTH + 1)) == []


def test_a_damaged_row_is_missing_and_can_be_added_again(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        key, content = database.execute("SELECT key, content FROM features LIMIT 1").fetchone()
        spoilt = bytes([content[0] ^ 1]) + content[1:]
        database.execute("UPDATE features SET content = ? WHERE key = ?", (spoilt, key))
    (missing,) = set(range(150)) - set(found(path))
    with closing(FeatureCache(path, "maker", PLENTY)) as cache:
        cache.add([DIGESTS[missing]], FEATURES[[missing]])
    assert len(found(path)) == 150


@pytest.mark.parametrize("start", [0, 40_000])
def test_a_damaged_file_is_begun_anew(path: Path, start: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"x" * (len(content) - start))
    for _ in range(2):  # damage that shows only on reading ends this run's use of the cache, not the next one's
        with closing(FeatureCache(path, "maker", PLENTY)) as cache:
            list(cache.find(DIGESTS, WIDTH))
            cache.add(DIGESTS, FEATURES)
    assert found(path) == {row: features.tobytes() for row, features in enumerate(FEATURES)}


def test_a_file_that_cannot_be_made_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(FeatureCache(tmp_path / "file" / "features.sqlite", "maker", PLENTY)) as cache:
        cache.add(DIGESTS, FEATURES)
        assert list(cache.find(DIGESTS, WIDTH)) == []
        assert cache.problem is not None
        assert "exists" in cache.problem or "directory" in cache.problem.lower()


def test_the_file_stays_within_its_limit_and_what_was_not_used_for_a_day_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, limit = tmp_path / "features.sqlite", 180_000
    monkeypatch.setattr(cache_module, "_LIMIT_CHECK_EVERY", 2)
    monkeypatch.setattr(cache_module, "_KEYS_PER_QUERY", 10)
    with closing(FeatureCache(path, "maker", limit)) as cache:
        for row in range(0, 200, 10):
            cache.add(DIGESTS[row : row + 10], FEATURES[row : row + 10])
        assert cache.problem is not None
        assert "full" in cache.problem
    kept = set(found(path))
    assert 50 < len(kept) < 200
    assert kept == set(range(len(kept)))  # the first ones: no run throws out its own
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE features SET used = used - 90000")
    found(path, DIGESTS[:20])  # are used now
    with closing(FeatureCache(path, "maker", limit)) as cache:
        cache.add(DIGESTS[190:], FEATURES[190:])
        assert cache.problem is None
    assert {*range(20), *range(190, 200)} <= set(found(path)) != kept
    assert path.stat().st_size < 1.5 * limit  # with room of the page size
    with closing(FeatureCache(path, "maker", limit * 2 // 3)) as cache:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE features SET used = used - 90000")
        cache.add(DIGESTS[:1], FEATURES[:1])
        assert cache.problem is None
    assert path.stat().st_size <= limit * 2 // 3


def test_two_processes_may_share_the_file(path: Path) -> None:
    with closing(FeatureCache(path, "maker", PLENTY)) as one, closing(FeatureCache(path, "maker", PLENTY)) as other:
        one.add(DIGESTS[150:], FEATURES[150:])
        other.add(DIGESTS[140:160], FEATURES[140:160])
        assert one.problem is None
        assert other.problem is None
    assert len(found(path)) == 200


def test_a_limit_of_zero_turns_it_off(path: Path) -> None:
    assert found(path, limit=cache_limit("0")) == {}
    assert cache_limit("2.5") == 2_500_000_000
    for wrong in ("-1", "10GB", "nan", ""):
        with pytest.raises(UserError, match="IMAGE_SIMILARITY_CACHE_GB"):
            cache_limit(wrong)
