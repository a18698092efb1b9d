"""Files of DVC's own that a kill left cut off are named before DVC reads them, and whose repository it is."""

from pipeline.dvc_files import check_dvc_files, read_file

from pathlib import Path

import dvc.api
import pygit2
import pytest

from similarity.errors import UserError

LOCK = (Path(__file__).parents[2] / "dvc.lock").read_text(encoding="utf-8")


@pytest.mark.parametrize("length", [0, *range(7, 900, 31), len(LOCK)])
def test_a_lock_that_is_cut_off_within_a_line_is_refused_with_what_mends_it(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text(LOCK[:length], encoding="utf-8")
    if LOCK[:length].endswith("\n"):
        check_dvc_files()
        return
    with pytest.raises(UserError, match=r"run `git checkout HEAD -- dvc\.lock`"):
        check_dvc_files()


def test_a_repository_of_somebody_else_is_named_with_the_line_that_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise pygit2.GitError("repository path '/srv/x' is not owned by current user")

    monkeypatch.setattr(dvc.api, "read", refuse)
    with pytest.raises(UserError, match=r"not owned by current user\): run `git config --global --add safe\.dir"):
        read_file(Path("metrics/train.json"), "HEAD")
