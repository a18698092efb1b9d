"""What would stop a run, or lose files, is found by `python src/check.py`, the first step of `make repro`."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from projects import ROOT, Project
from samples import write_wares

CHECK = ("python", "src/check.py")
SOURCE = "Fotos [alt], Größe & it's"  # characters that shells, YAML and DVC treat specially


@pytest.fixture
def prepared(fresh: Project) -> Project:
    """A project in which nothing was run, with a source of its own."""
    write_wares(fresh.folder / SOURCE, ("jug", "vase"), 3)
    fresh.set_params(data={"source": SOURCE})
    fresh.commit()
    return fresh


def make_odd(folder: Path, odd: str) -> None:
    """Put into a folder of images what a word says."""
    match odd:
        case "endless":
            (folder / "vase" / "endless.png").symlink_to("/dev/zero")
        case "ignoring":
            (folder / "vase" / ".dvcignore").touch()
        case "no text":
            Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).touch()
        case "table":
            (folder / "labels.csv").write_text("path,label\n", encoding="utf-8")


@pytest.mark.usefixtures("unicode_names")
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ("endless", 'endless.png" is no file, but a FIFO, a socket or a device'),
        ("ignoring", "data.source has 'vase/.dvcignore', with which DVC tracks no folder: rename it"),
        ("no text", r"the name '\udcff.txt' is not valid UTF-8: rename this in the source"),
        ("table", "labels.csv has no rows below its header"),
    ],
)
def test_what_dvc_would_read_for_ever_or_fail_at_is_found(prepared: Project, odd: str, message: str) -> None:
    make_odd(prepared.folder / SOURCE, odd)
    assert message in prepared.run(*CHECK, status=1)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("data.source", "no/such", "data.source: no/such does not exist: write its absolute path, without ~"),
        ("data.source", "data/images", "data.source: data/images has, or is in, what the pipeline makes"),
        ("data.table", "x.csv", "data.table: there is no file 'x.csv' in data.source"),
        ("backbone.weights", "none.h5", "params.yaml: backbone.weights: there is no file none.h5"),
        ("split.train", 1.5, "params.yaml: split.train: 1.5: input should be less than 1"),
    ],
)
def test_a_wrong_parameter_is_found(prepared: Project, name: str, wrong: object, message: str) -> None:
    section, key = name.split(".")
    (prepared.folder / "data/images").mkdir()
    prepared.set_params(**{section: {key: wrong}})
    assert message in prepared.run(*CHECK, status=1)


def test_a_folder_that_git_does_not_keep_is_noted_for_experiments(prepared: Project) -> None:
    note, photos = (
        "note: git does not keep photos, so experiments with --queue or --temp need",
        prepared.folder / "photos",
    )
    write_wares(photos, ("jug", "vase"), 3)
    prepared.set_params(data={"source": "photos"})
    assert note in prepared.run(*CHECK)
    prepared.commit()
    assert "note" not in prepared.run(*CHECK)
    prepared.run("git", "rm", "-r", "--cached", "--quiet", "photos")
    prepared.run("git", "init", "--quiet", "photos")
    prepared._replace(folder=photos).commit()
    prepared.commit()  # as a submodule
    assert note in prepared.run(*CHECK)


def test_files_that_people_put_into_the_generated_folder_stop_it(prepared: Project) -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nrepro:")[1]
    assert recipe.index("python src/check.py") < recipe.index("dvc repro")
    (prepared.folder / "data/corrections.csv").unlink()  # which DVC needs
    assert "error" not in prepared.run(*CHECK)
    prepared.run("dvc", "repro", "fetch")
    jugs = prepared.folder / "data/images/jug"
    shutil.copyfile(jugs / "000.png", jugs / "copy.png")  # nothing would be lost
    assert "error" not in prepared.run(*CHECK)
    Image.new("RGB", (9, 9)).save(jugs / "mine.png")
    printed = prepared.run(*CHECK, status=1)
    assert "1 file that DVC does not know and would remove, such as 'jug/mine.png': move your own" in printed
    assert (jugs / "mine.png").exists()
    (prepared.folder / "dvc.lock").unlink()
    shutil.rmtree(prepared.folder / ".dvc/cache")  # as in a clone
    assert "data/images is generated" in prepared.run(*CHECK, status=1)
