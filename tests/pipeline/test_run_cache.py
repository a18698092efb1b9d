"""Two trainings: what was computed once is not computed again, one line leads back, and the two are compared."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import compare
from projects import WAY_BACK, Project, stages_run
from similarity.errors import UserError

QUERY_PICTURE = r'<img src="static/[\w~]+_plots_queries_query_'
RESULTS = ("params.yaml", "dvc.lock", "models/*", "metrics/**/*.*")


def repro(project: Project) -> list[str]:
    """Run `dvc repro`, and return the stages that it ran."""
    return stages_run(project.run("dvc", "repro"))


@pytest.fixture(scope="module")
def two_runs(untrained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an experiment that is committed after the first run. Not to be changed."""
    project = untrained.copy_to(tmp_path_factory.mktemp("projects") / "two_runs")
    project.commit()
    return project


def test_going_back_to_parameters_that_were_run_before_runs_no_stage(
    reproduced: Project, two_runs: Project, tmp_path: Path
) -> None:
    project = two_runs.copy_to(tmp_path / "project")
    for earlier in (reproduced, two_runs):
        shutil.copyfile(earlier.folder / "params.yaml", project.folder / "params.yaml")
        assert not repro(project)
        assert project.contents(*RESULTS) == earlier.contents(*RESULTS)


def test_a_clone_reproduces_commits_and_experiments_of_others_without_running_a_stage(
    two_runs: Project, tmp_path: Path
) -> None:
    environment = {**two_runs.environment, "DVC_SYSTEM_CONFIG_DIR": str(tmp_path / "dvc")}
    shared = two_runs._replace(environment=environment).copy_to(tmp_path / "project")
    shared.run("dvc", "remote", "add", "--system", "--default", "storage", str(tmp_path / "storage"))
    shared.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    shared.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    shared.run("git", "push", "--quiet", "origin", "HEAD~1:refs/heads/main")
    shared.run("dvc", "push", "--run-cache", "--all-commits")
    shared.run("dvc", "exp", "push", "origin", "untrained")
    shared.run("git", "clone", "--quiet", "--branch", "main", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    clone = shared._replace(folder=tmp_path / "clone")
    clone.run("dvc", "pull", "--run-cache")
    assert not repro(clone)
    assert clone.run("git", "status", "--porcelain") == ""
    clone.run("dvc", "exp", "pull", "origin", "untrained")
    clone.run("dvc", "exp", "apply", "untrained")
    clone.run("dvc", "pull", "--run-cache")
    assert not repro(clone)
    assert clone.contents(*RESULTS) == shared.contents(*RESULTS)


def test_one_line_leads_back_to_the_last_commit_after_an_experiment_was_killed(project: Project) -> None:
    before = project.contents("params.yaml", "dvc.lock", "data/*", "models/*", "metrics/**/*")
    process = subprocess.Popen(
        ["dvc", "exp", "run", "-S", "train.epochs=100000"],
        cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, encoding="utf-8",
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert any("Running stage 'train'" in line for line in process.stdout)
    subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=True)
    process.wait()
    project.run("bash", "-c", WAY_BACK)
    assert project.contents(*before) == before
    assert project.run("git", "status", "--porcelain") == ""
    assert "up to date" in project.run("dvc", "status")


def test_plots_show_curves_recall_confusion_and_pictures_of_one_run_and_of_two(two_runs: Project) -> None:
    two_runs.run("dvc", "plots", "diff", "HEAD~1", "--out", "comparison")
    page = (two_runs.folder / "comparison" / "index.html").read_text(encoding="utf-8")
    for title in ("Cross-entropy loss", "Recall of the approximate index", "10 nearest", "Class of each query"):
        assert title in page
    assert len(re.findall(QUERY_PICTURE, page)) == 2 * 10
    assert "The charts below stay empty" in page  # shown if the library that draws them does not come
    assert not re.search(r"\{(scripts|plot_divs|refresh_tag)\}", page)


def test_two_models_are_compared_query_by_query(
    two_runs: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the validation images, unless the test images are asked for; one training each shows no difference."""
    two_runs.enter(monkeypatch)
    scores = (two_runs.folder / "metrics/details/query_scores.csv").read_text(encoding="utf-8")
    for option, split, described in (((), "valid", "validation"), (("--test",), "test", "test")):
        monkeypatch.setattr(sys, "argv", ["compare.py", "HEAD~1", "untrained", *option])
        compare.main()
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == f"{scores.count(f',{split},')} {described} images; HEAD~1, untrained, difference"
        assert tuple(line.split()[0] for line in printed[1:-1]) == compare.NAMES
        assert float(printed[1].split()[3]) < 0
        assert printed[-1] == "One training of each does not show whether they differ: add `--seeds 3`."
    monkeypatch.setattr(sys, "argv", ["compare.py", "HEAD", "nonsense"])
    with pytest.raises(UserError, match=r"^cannot read metrics/details/query_scores\.csv of 'nonsense'.*$"):
        compare.main()
