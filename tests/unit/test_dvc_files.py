"""Files of DVC's own that a kill left cut off are named before DVC reads them."""

from pipeline.dvc_files import check_dvc_files

from pathlib import Path

import pytest

from similarity.errors import UserError

LOCK = (Path(__file__).parents[2] / "dvc.lock").read_text(encoding="utf-8")
SECOND_COMMAND = LOCK.index("    cmd:", LOCK.index("    cmd:") + 1)
FIRST_STAGE = LOCK[: LOCK.rindex("\n  ", 0, SECOND_COMMAND) + 1]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dvc.lock"


@pytest.mark.parametrize("content", [LOCK, FIRST_STAGE], ids=["all", "one stage"])
def test_what_dvc_wrote_is_fine(lock: Path, content: str) -> None:
    lock.write_text(content, encoding="utf-8")
    check_dvc_files()


def test_a_lock_that_is_cut_off_in_any_of_its_lines_is_refused_with_what_mends_it(lock: Path) -> None:
    for length in range(0, len(FIRST_STAGE), 7):
        if not FIRST_STAGE[:length].endswith("\n"):
            lock.write_text(FIRST_STAGE[:length], encoding="utf-8")
            with pytest.raises(UserError, match=r"run `git checkout HEAD -- dvc\.lock`"):
                check_dvc_files()


@pytest.mark.parametrize("wrong", ["size: many", "size:", "- path: 1"])
def test_a_lock_that_dvc_would_not_take_is_refused(lock: Path, wrong: str) -> None:
    lock.write_text(
        f"schema: '2.0'\nstages:\n  fetch:\n    cmd: a\n    outs:\n    - path: b\n      {wrong}\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"dvc\.lock is damaged"):
        check_dvc_files()
