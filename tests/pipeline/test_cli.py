"""The command `similarity`: a folder in, a search out, by the code of the project that it is called in."""

from pathlib import Path

import pytest
from PIL import Image

from projects import ROOT, Project
from similarity.data.sources.ceramics import draw_picture


@pytest.fixture
def installed(project: Project) -> Project:
    """A small project, where the command and the library come from this repository, as after `make install`."""
    return project._replace(environment={**project.environment, "PYTHONPATH": str(ROOT / "src")})


def call(project: Project, *arguments: str, status: int = 0) -> str:
    return project.run("python", "-m", "pipeline.cli", *arguments, status=status)


def test_a_folder_is_indexed_and_searched_and_it_says_what_to_do_next(installed: Project, tmp_path: Path) -> None:
    folder = tmp_path / "home/Fotos & mehr, größte #1"
    for label in ("jug", "vase"):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(draw_picture(label, 9, number, 48)).save(folder / label / f"{number}.png")
    at_home = installed._replace(environment={**installed.environment, "HOME": str(tmp_path / "home")})
    printed = call(at_home, "index", f"~/{folder.name}")
    assert "similarity query photo.jpg" in printed
    assert "Running stage" not in printed
    params = (installed.folder / "params.yaml").read_text(encoding="utf-8")
    assert "# a recipe, an archive" in params
    printed = call(installed, "query", "jug/1.png", "-k", "11")
    assert printed.count(".png") == 12


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["index", "nowhere"], 1, "nowhere is not there: give a folder of images"),
        (["index", "/dev/null"], 1, "/dev/null"),
        (["search"], 1, "there is no command 'search'"),
        (["query", "nothing.jpg"], 1, "no image 'nothing.jpg' is indexed"),
        (["--help"], 0, "index [SOURCE] [--all]"),
        (["query", "--help"], 0, "usage: query.py"),
    ],
)
def test_what_is_wrong_is_said_and_the_parameters_stay(
    installed: Project, arguments: list[str], status: int, message: str
) -> None:
    before = (installed.folder / "params.yaml").read_bytes()
    assert message in call(installed, *arguments, status=status)
    assert (installed.folder / "params.yaml").read_bytes() == before


def test_the_changed_code_of_a_project_and_of_an_experiment_is_what_runs(installed: Project, tmp_path: Path) -> None:
    elsewhere = call(installed._replace(folder=tmp_path), "index", status=1)
    assert f"run it where dvc.yaml is, such as in {ROOT}" in elsewhere
    with (installed.folder / "src/similarity/errors.py").open("a", encoding="utf-8") as file:
        file.write('\nprint("changed")\n')
    assert "changed" in call(installed, "query", "jug/jug_0003.jpg")
    ran = installed.run("dvc", "exp", "run", "--temp", "-S", "ann.trees=2", "ann")
    assert "changed" in ran
