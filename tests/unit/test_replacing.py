"""Files and folders that take their places together, whatever kills the process, fails, or is changed meanwhile."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from killed_at_step import die_at_step
from similarity.errors import UserError
from similarity.replacing import finish_replacing, remove
from written_outputs import FOLDERS, NAMES, write


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a journal, in a project that is the current folder."""
    monkeypatch.chdir(tmp_path)
    for flush in ("fsync", "sync"):  # they decide what a power failure leaves, and no test here can cut the power
        monkeypatch.setattr(os, flush, lambda *_: None)
    (tmp_path / "tmp").mkdir()
    return Path("tmp/outputs.journal")


def state() -> dict[str, str]:
    """All files but the journal's."""
    files = [path for path in Path().rglob("*") if path.is_file() and path.parts[0] != "tmp"]
    return {path.as_posix(): path.read_text(encoding="utf-8") for path in files}


def expected(text: str) -> dict[str, str]:
    return {f"{name}/{text}" if name in FOLDERS else name: text for name in NAMES}


def kills(run: Callable[[], None], before: Callable[[], None]) -> Iterator[int]:
    """Prepares and runs functions again and again, each time killed one step later, until it gets through."""
    step = 1
    before()
    while die_at_step(step, run):
        yield step
        step += 1
        before()
    assert step > 10


def test_what_is_killed_at_any_step_is_all_old_or_all_new_when_the_next_has_finished_it(journal: Path) -> None:
    found = []
    for _ in kills(partial(write, "new", journal), lambda: write("old")):
        finish_replacing(journal)
        found.append(state()["a.json"])
        assert {name: text for name, text in state().items() if ".new." not in name} == expected(found[-1])
        assert not journal.exists()
    assert set(found) == {"old", "new"}
    assert found == sorted(found, reverse=True)
    write("next", journal)
    assert state() == expected("next")


@contextmanager
def renames_fail(*allowed: Path) -> Iterator[None]:
    """Lets only some paths get anything renamed to them."""
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target not in allowed:
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        yield


def leave_unfinished(journal: Path) -> None:
    """Leaves what a process leaves that is killed when its journal is written and nothing is renamed."""
    finish_replacing(journal)
    write("old")
    with renames_fail(journal), pytest.raises(PermissionError):
        write("new", journal)
    assert journal.exists()


def test_finishing_can_be_killed_at_any_step_as_well(journal: Path) -> None:
    for _ in kills(partial(finish_replacing, journal), lambda: leave_unfinished(journal)):
        finish_replacing(journal)
        assert state() == expected("new")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("restores", [True, False])  # `dvc checkout` does; or DVC removes what a stage is to make
def test_what_others_have_changed_since_stays_and_what_was_to_come_is_dropped(
    journal: Path, name: str, restores: bool
) -> None:
    leave_unfinished(journal)
    path, kept = Path(name), Path(name, "old") if name in FOLDERS else Path(name)
    remove(path)
    if restores:
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("restored", encoding="utf-8")
    finish_replacing(journal)
    others = {kept: text for kept, text in expected("old").items() if not kept.startswith(name)}
    assert state() == others | ({kept.as_posix(): "restored"} if restores else {})
    assert not journal.exists()


def test_a_rename_that_fails_is_carried_out_when_it_can_be(journal: Path) -> None:
    write("old")
    with renames_fail(journal, Path("a.json")):
        for attempt in (lambda: write("new", journal), lambda: finish_replacing(journal)):
            with pytest.raises(PermissionError) as failed:
                attempt()
        assert state()["a.json"] == "new"
    assert failed.value.filename.endswith(".b.npy")
    finish_replacing(journal)
    assert state() == expected("new")


def test_a_damaged_journal_is_told_with_the_way_out(journal: Path) -> None:
    for content in ("", "[[1]]", json.dumps([["a", "b", [1, 2]]])):
        journal.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=f"{journal} is damaged: run `rm {journal}`, then `dvc repro`"):
            finish_replacing(journal)


def test_without_a_journal_there_is_nothing_to_finish(journal: Path) -> None:
    finish_replacing(journal)
    assert list(journal.parent.iterdir()) == []
