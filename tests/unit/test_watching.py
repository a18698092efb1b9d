"""Figures that can be watched while a stage runs."""

from pipeline import watching
from pipeline.watching import WatchedFiles

from pathlib import Path

import pytest

from similarity.files import Outputs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "train.json"


@pytest.fixture
def _run_by_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")


def update(watched: WatchedFiles, file: Path, content: str) -> None:
    watched.update(lambda outputs: outputs.file(file).write_text(content, encoding="utf-8"))


@pytest.mark.usefixtures("_run_by_dvc")
def test_versions_follow_one_another_and_the_last_one_is_the_stages_own(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_SECONDS", 0)
    with Outputs() as outputs:
        with WatchedFiles(file) as watched:
            for content in ("first", "second"):
                update(watched, file, content)
                assert file.read_text(encoding="utf-8") == content
        outputs.file(file).write_text("final", encoding="utf-8")
    assert file.read_text(encoding="utf-8") == "final"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.usefixtures("_run_by_dvc")
def test_a_young_version_is_not_replaced(file: Path) -> None:
    with WatchedFiles(file) as watched:
        update(watched, file, "too early")
        assert not file.exists()


@pytest.mark.usefixtures("_run_by_dvc")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_stage_that_fails_leaves_none(
    file: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_SECONDS", 0)
    with pytest.raises(error), WatchedFiles(file) as watched:
        update(watched, file, "first")
        raise error
    assert list(file.parent.iterdir()) == []


def test_a_stage_without_dvc_leaves_the_files_of_the_last_run_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(watching, "_SECONDS", 0)
    file.write_text("of the last run", encoding="utf-8")
    with pytest.raises(ValueError, match="now"), WatchedFiles(file) as watched:
        update(watched, file, "first")
        raise ValueError("now")
    assert file.read_text(encoding="utf-8") == "of the last run"
