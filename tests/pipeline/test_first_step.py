"""What would stop a run, or lose files, is found by `python src/check.py`, the first step of `make repro`."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import check
from projects import ROOT, Project
from samples import write_wares
from similarity.errors import UserError

SOURCE = "Fotos [alt], Größe & it's"  # characters that shells, YAML and DVC treat specially


@pytest.fixture
def prepared(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The working folder: a project in which nothing was run, with a source of its own."""
    fresh.enter(monkeypatch)
    write_wares(Path(SOURCE), ("jug", "vase"), 3)
    fresh.set_params(data={"source": SOURCE})
    return fresh


@pytest.mark.usefixtures("unicode_names", "prepared")
@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda folder: (folder / "endless.png").symlink_to("/dev/zero"), r'endless\.png" is no file, but a FIFO'),
        (lambda folder: (folder / "vase/.dvcignore").touch(), r"data\.source has 'vase/\.dvcignore', with which DVC"),
        (lambda folder: (folder / os.fsdecode(b"\xff.txt")).touch(), r"'\\udcff\.txt' is not valid UTF-8"),
        (
            lambda folder: (folder / "labels.csv").write_bytes(b"path,label\n"),
            r"labels\.csv has no rows below its header",
        ),
    ],
)
def test_what_dvc_would_read_for_ever_or_fail_at_is_found(add: Callable[[Path], object], message: str) -> None:
    add(Path(SOURCE))
    with pytest.raises(UserError, match=message):
        check.main()


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("data.source", "~/photos", r"data\.source: ~/photos does not exist: write its absolute path, without ~"),
        ("data.source", "data/images", r"data\.source: data/images has, or is in, what the pipeline makes"),
        ("data.table", "x.csv", r"data\.table: there is no file 'x\.csv' in data\.source"),
        ("backbone.weights", "none.h5", r"params\.yaml: backbone\.weights: there is no file none\.h5"),
        ("split.train", 1.5, r"params\.yaml: split\.train: 1\.5: input should be less than 1"),
    ],
)
def test_a_wrong_parameter_is_found(prepared: Project, name: str, wrong: object, message: str) -> None:
    section, key = name.split(".")
    Path("data/images").mkdir()
    prepared.set_params(**{section: {key: wrong}})
    with pytest.raises(UserError, match=message):
        check.main()


def test_a_folder_that_git_does_not_keep_is_noted_for_experiments(
    prepared: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "note: git does not keep photos, so experiments with --queue or --temp need"
    write_wares(Path("photos"), ("jug", "vase"), 3)
    prepared.set_params(data={"source": "photos"})
    check.main()
    assert note in capsys.readouterr().out
    prepared.commit()
    check.main()
    assert "note" not in capsys.readouterr().out
    prepared.run("git", "rm", "-r", "--cached", "--quiet", "photos")
    prepared.run("git", "init", "--quiet", "photos")
    prepared._replace(folder=prepared.folder / "photos").commit()
    prepared.commit()  # as a submodule
    check.main()
    assert note in capsys.readouterr().out


def test_files_that_people_put_into_the_generated_folder_stop_it(prepared: Project) -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nrepro:")[1]
    assert recipe.index("python src/check.py") < recipe.index("dvc repro")
    Path("data/corrections.csv").unlink()  # which DVC needs
    check.main()
    prepared.run("dvc", "repro", "fetch")
    jugs = Path("data/images/jug")
    shutil.copyfile(jugs / "000.png", jugs / "copy.png")  # nothing would be lost
    check.main()
    Image.new("RGB", (9, 9)).save(jugs / "mine.png")
    with pytest.raises(UserError, match=r"1 file that DVC does not know and would remove, such as 'jug/mine\.png'"):
        check.main()
    assert (jugs / "mine.png").exists()
    Path("dvc.lock").unlink()
    shutil.rmtree(".dvc/cache")  # as in a clone
    with pytest.raises(UserError, match="data/images is generated"):
        check.main()
