"""What DVC cannot read is said in one line, with what to do."""

from pipeline.inputs import read_file

from pathlib import Path

import dvc.api
import pygit2
import pytest

from similarity.errors import UserError


def test_a_repository_of_somebody_else_is_named_with_the_line_that_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise pygit2.GitError("repository path '/srv/x' is not owned by current user")

    monkeypatch.setattr(dvc.api, "DVCFileSystem", refuse)
    with pytest.raises(UserError, match=r"not owned by current user\): run `git config --global --add safe\.dir"):
        read_file(Path("metrics/train.json"), "no revision that another test opens")
