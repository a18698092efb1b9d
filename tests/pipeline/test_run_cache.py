"""Two trainings: what was computed once is not computed again, one line leads back, and the two are compared."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from compare import NAMES
from projects import UNTRAINED, WAY_BACK, Project, stages_run

MORE_TREES: dict[str, dict[str, object]] = {"ann": {"trees": 20}}
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


@pytest.fixture
def shared(two_runs: Project, tmp_path: Path) -> Project:
    """A copy of the project, and an empty remote."""
    project = two_runs.copy_to(tmp_path / "project")
    project = project._replace(environment={**project.environment, "DVC_SYSTEM_CONFIG_DIR": str(tmp_path / "dvc")})
    project.run("dvc", "remote", "add", "--system", "--default", "storage", str(tmp_path / "storage"))
    return project


def test_going_back_to_parameters_that_were_run_before_runs_no_stage(reproduced: Project, shared: Project) -> None:
    def reproduce(change: dict[str, dict[str, object]]) -> tuple[bool, dict[str, bytes]]:
        shutil.copyfile(reproduced.folder / "params.yaml", shared.folder / "params.yaml")
        shared.set_params(**change)
        return bool(repro(shared)), shared.contents(*RESULTS)

    first = [(True, project.contents(*RESULTS)) for project in (reproduced, shared)]
    first.append(reproduce(MORE_TREES))
    again = [reproduce(change) for change in ({}, UNTRAINED, MORE_TREES)]
    assert [ran for ran, _ in first] == [True] * 3
    assert [ran for ran, _ in again] == [False] * 3
    assert [contents for _, contents in again] == [contents for _, contents in first]


def test_a_clone_that_pulled_reproduces_every_commit_without_running_a_stage(shared: Project, tmp_path: Path) -> None:
    shared.run("dvc", "push", "--run-cache", "--all-commits")
    shared.run("git", "clone", "--quiet", str(shared.folder), str(tmp_path / "clone"))
    clone = shared._replace(folder=tmp_path / "clone")
    for commit in ("HEAD", "HEAD~1"):
        clone.run("git", "checkout", "--quiet", commit)
        clone.run("dvc", "pull", "--run-cache")
        assert not repro(clone)
        assert clone.run("git", "status", "--porcelain") == ""


def test_a_clone_reproduces_an_experiment_that_was_pushed_without_running_a_stage(
    shared: Project, tmp_path: Path
) -> None:
    shared.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    shared.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    shared.run("git", "push", "--quiet", "origin", "main")
    shared.run("dvc", "exp", "run", "-S", "ann.trees=3", "--name", "three-trees")
    shared.run("dvc", "push", "--run-cache", "--all-commits")
    shared.run("dvc", "exp", "push", "origin", "three-trees")
    results = shared.contents("dvc.lock", "metrics/**/*")
    shared.run("git", "clone", "--quiet", "--branch", "main", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    clone = shared._replace(folder=tmp_path / "clone")
    clone.run("dvc", "exp", "pull", "origin", "three-trees")
    clone.run("dvc", "exp", "apply", "three-trees")
    clone.run("dvc", "pull", "--run-cache")
    assert not repro(clone)
    assert clone.contents(*results) == results


@pytest.mark.parametrize("command", ["dvc repro", "killed experiment"])
def test_one_line_leads_back_to_the_last_commit(project: Project, command: str) -> None:
    before = project.contents("params.yaml", "dvc.lock", "data/*", "models/*", "metrics/**/*")
    if command == "dvc repro":
        project.set_params(neighbors={"top_k": 5})
        project.run("dvc", "repro")
    else:
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


def test_two_models_are_compared_query_by_query(two_runs: Project) -> None:
    """By the validation images, unless the test images are asked for; one training each shows no difference."""
    assert "lr: 1e-05" in (two_runs.folder / "params.yaml").read_text(encoding="utf-8")
    scores = (two_runs.folder / "metrics/details/query_scores.csv").read_text(encoding="utf-8")
    for option, split, described in (((), "valid", "validation"), (("--test",), "test", "test")):
        printed = two_runs.run("python", "src/compare.py", "HEAD~1", "untrained", *option).splitlines()
        assert printed[0] == f"{scores.count(f',{split},')} {described} images; HEAD~1, untrained, difference"
        assert tuple(line.split()[0] for line in printed[1:-1]) == NAMES
        assert float(printed[1].split()[3]) < 0
        assert printed[-1] == "One training of each does not show whether they differ: add `--seeds 3`."
    refused = two_runs.run("python", "src/compare.py", "HEAD", "nonsense", status=1)
    assert refused.startswith("error: cannot read metrics/details/query_scores.csv of 'nonsense'")
    assert len(refused.splitlines()) == 1
