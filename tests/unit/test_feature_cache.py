import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from similarity.errors import UserError
from similarity.features.cache import FeatureCache, cache_limit

WIDTH, PLENTY = 240, 10**9
DIGESTS = [sha256(bytes([i])).hexdigest() for i in range(200)]
FEATURES = np.random.default_rng(0).standard_normal((200, WIDTH)).astype(np.float32)
ADDING = """
import sys
from pathlib import Path
import numpy as np
from similarity.features.cache import FeatureCache
cache = FeatureCache("maker", 10**9, Path(sys.argv[1]))
for row in range(0, 2000, 2):
    cache.add([f"{row + i:064x}" for i in range(2)], np.full((2, 240), row, np.float32))
assert cache.problem is None, cache.problem
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache with the first 150 features."""
    folder = tmp_path / "new" / "features"
    with closing(FeatureCache("maker", PLENTY, folder)) as cache:
        cache.add(DIGESTS[:100], FEATURES[:100])
        cache.add(DIGESTS[100:150], FEATURES[100:150])
        assert cache.problem is None
    return folder


def found(
    folder: Path, digests: list[str] = DIGESTS, maker: str = "maker", limit: int = PLENTY, width: int = WIDTH
) -> dict[int, bytes]:
    with closing(FeatureCache(maker, limit, folder)) as cache:
        blocks = list(cache.find(digests, width))
    return {row: values.tobytes() for rows, block in blocks for row, values in zip(rows.tolist(), block, strict=True)}


def expected(rows: range) -> dict[int, bytes]:
    return {row: FEATURES[row].tobytes() for row in rows}


def test_what_was_added_is_found_by_its_digest_in_any_order_and_by_its_maker_alone(folder: Path) -> None:
    assert found(folder) == expected(range(150))
    assert found(folder, DIGESTS[::-1]) == {199 - row: values for row, values in expected(range(150)).items()}
    assert found(folder, maker="another backbone") == {}
    assert found(folder, width=WIDTH + 1) == {}


def test_a_damaged_row_is_missing_and_can_be_added_again(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "cache.db")) as database, database:
        row, content = database.execute("SELECT rowid, value FROM Cache LIMIT 1").fetchone()
        spoilt = content[:9] + bytes([content[9] ^ 1]) + content[10:]
        database.execute("UPDATE Cache SET value = ? WHERE rowid = ?", (spoilt, row))
    (missing,) = set(range(150)) - set(found(folder))
    with closing(FeatureCache("maker", PLENTY, folder)) as cache:
        cache.add([DIGESTS[missing]], FEATURES[[missing]])
    assert len(found(folder)) == 150


def test_nothing_is_unpickled_and_no_file_is_opened_or_removed_by_what_the_database_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("code ran",)

    (tmp_path / "victim").touch()
    with closing(sqlite3.connect(folder / "cache.db")) as database, database:
        database.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Hostile()),))
        database.execute("UPDATE Cache SET filename = ?", (str(tmp_path / "victim"),))
    assert found(folder) == {}
    with closing(FeatureCache("maker", 1, folder)) as cache:
        cache.add(DIGESTS, FEATURES)
        assert cache.problem is None
    assert (tmp_path / "victim").exists()
    assert not capsys.readouterr().out


@pytest.mark.parametrize("start", [0, 40_000])
def test_a_damaged_file_is_replaced(folder: Path, start: int) -> None:
    path = folder / "cache.db"
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"x" * (len(content) - start))
    for _ in range(2):  # the damage ends this run's use of the cache, not the next one's
        with closing(FeatureCache("maker", PLENTY, folder)) as cache:
            list(cache.find(DIGESTS, WIDTH))
            cache.add(DIGESTS, FEATURES)
    assert found(folder) == expected(range(200))


def test_a_folder_that_cannot_be_made_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(FeatureCache("maker", PLENTY, tmp_path / "file" / "features")) as cache:
        cache.add(DIGESTS, FEATURES)
        assert sum(len(rows) for rows, _ in cache.find(DIGESTS, WIDTH)) == 0
        assert cache.problem is not None
        assert "\n" not in cache.problem


def test_the_file_stays_within_its_limit_and_the_longest_unused_make_room(tmp_path: Path) -> None:
    folder, limit = tmp_path / "features", 180_000
    with closing(FeatureCache("maker", limit, folder)) as cache:
        for row in range(0, 200, 10):
            cache.add(DIGESTS[row : row + 10], FEATURES[row : row + 10])
            list(cache.find(DIGESTS[:10], WIDTH))  # are used all the time
        assert cache.problem is None
    kept = set(found(folder, limit=limit))
    assert {*range(10), *range(190, 200)} <= kept
    assert 50 < len(kept) < 200
    assert (folder / "cache.db").stat().st_size <= limit


def test_processes_may_write_at_once_and_be_killed(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", ADDING, str(folder)]
    writers = [subprocess.Popen(command, env=environment) for _ in range(3)]
    while len(found(folder, [f"{row:064x}" for row in range(2000)])) < 100:
        assert any(writer.poll() is None for writer in writers)
    writers[0].kill()
    assert [writer.wait(timeout=100) for writer in writers] == [-9, 0, 0]
    assert len(found(folder, [f"{row:064x}" for row in range(2000)])) == 2000
    assert found(folder) == expected(range(150))


def test_the_limit_comes_from_the_environment_and_zero_turns_the_cache_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", "0")
    assert found(folder, limit=cache_limit()) == {}
    monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", "2.5")
    assert cache_limit() == 2_500_000_000
    for wrong in ("-1", "10GB", "nan", ""):
        monkeypatch.setenv("IMAGE_SIMILARITY_CACHE_GB", wrong)
        with pytest.raises(UserError, match="IMAGE_SIMILARITY_CACHE_GB"):
            cache_limit()
