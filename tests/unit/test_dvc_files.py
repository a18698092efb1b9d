"""Files of DVC's own that a kill left cut off are named before DVC reads them."""

from pipeline.dvc_files import check_dvc_files

from pathlib import Path

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
