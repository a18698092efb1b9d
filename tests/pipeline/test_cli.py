"""The command `similarity`: a folder in, a search out, by the code of the project that it is called in."""

from pipeline import cli

import sys
from pathlib import Path

import pytest
from PIL import Image

from projects import ROOT, Project, run_stages
from samples import write_wares
from similarity.data.sources.ceramics import draw_picture


@pytest.fixture
def installed(project: Project) -> Project:
    """Let the command and the library come from this repository, as after `make install`."""
    return project._replace(environment={**project.environment, "PYTHONPATH": str(ROOT / "src")})


def call(project: Project, *arguments: str, status: int = 0) -> str:
    return project.run("python", "-m", "pipeline.cli", *arguments, status=status)


@pytest.mark.usefixtures("unicode_names")
def test_a_folder_is_indexed_and_searched_and_it_says_what_to_do_next(
    installed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few photos, some in class folders, and two next to them."""
    folder = write_wares(tmp_path / "home/Fotos & mehr, größte #1", ("Gneis ß", "大理石"), 4)
    for number, name in enumerate(("stray.png", "another.png")):
        Image.fromarray(draw_picture("vase", 1, number, 32)).save(folder / name)
    at_home = installed._replace(environment={**installed.environment, "HOME": str(tmp_path / "home")})
    printed = call(at_home, "index", f"~/{folder.name}")
    assert "similarity query photo.jpg" in printed
    assert "Running stage" not in printed
    params = (installed.folder / "params.yaml").read_text(encoding="utf-8")
    assert "# a recipe, an archive" in params
    assert call(installed, "query", "Gneis ß/001.png", "-k", "5").count(".png") == 6
    folders = sorted(path.name for path in (installed.folder / "data/images").iterdir())
    assert folders == ["Gneis ß", "unlabeled", "大理石"]
    indexed = installed.read_json("models/inverted-index.json")
    assert {"unlabeled/stray.png", "unlabeled/another.png"} < set(indexed)
    counts = installed.read_json("metrics/details/scan.json")
    assert (counts["images"], counts["classes"], counts["unlabeled"]) == (10, 2, 2)
    installed.enter(monkeypatch)
    run_stages("baselines", "evaluate")
    retrieval = installed.read_json("metrics/details/evaluate.json")
    assert retrieval["queries"] == 2  # those without a class are no queries of this kind
    (folder / "大理石" / "000.png").unlink()
    assert f"modified:           {folder}" in installed.run("dvc", "status", "fetch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "nowhere"], "nowhere is not there: give a folder of images"),
        (["index", "/dev/null"], "/dev/null"),
        (["search"], "there is no command 'search'"),
    ],
)
def test_what_is_wrong_is_said_and_the_parameters_stay(
    reproduced: Project,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = (reproduced.folder / "params.yaml").read_bytes()
    reproduced.enter(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["similarity", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.dispatch()
    assert message in f"{end.value.code}{capfd.readouterr().err}"
    assert end.value.code != 0
    assert (reproduced.folder / "params.yaml").read_bytes() == before


def test_the_changed_code_of_a_project_and_of_an_experiment_is_what_runs(installed: Project, tmp_path: Path) -> None:
    elsewhere = call(installed._replace(folder=tmp_path), "index", status=1)
    assert f"run it where dvc.yaml is, such as in {ROOT}" in elsewhere
    with (installed.folder / "src/similarity/errors.py").open("a", encoding="utf-8") as file:
        file.write('\nprint("changed")\n')
    assert "changed" in call(installed, "query", "jug/jug_0003.jpg")
    ran = installed.run("dvc", "exp", "run", "--temp", "-S", "ann.trees=2", "ann")
    assert "changed" in ran
