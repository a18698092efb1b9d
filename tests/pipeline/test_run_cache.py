"""What was computed once is not computed again, and one line leads back to the last commit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from projects import WAY_BACK, Project, stages_run

LEARNING_RATE: dict[str, dict[str, object]] = {"train": {"lr": 0.02}}
CHANGES: list[dict[str, dict[str, object]]] = [{"ann": {"trees": 20}}, {"embedding": {"size": 16}}]
RESULTS = ("params.yaml", "dvc.lock", "models/*", "metrics/**/*.*")


def repro(project: Project) -> list[str]:
    """Run `dvc repro`, and return the stages that it ran."""
    return stages_run(project.run("dvc", "repro"))


@pytest.fixture(scope="module")
def two_runs(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a remote, and the run of another learning rate committed after the first. Not to be changed."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("projects") / "two_runs")
    project.run("dvc", "remote", "add", "--default", "storage", str(storage_of(project)))
    project.commit()
    project.set_params(**LEARNING_RATE)
    project.run("dvc", "repro")
    project.commit()
    return project


def storage_of(project: Project) -> Path:
    return project.folder.parent / "storage"


@pytest.fixture
def shared(two_runs: Project, tmp_path: Path) -> Project:
    """A copy of the project, and an empty remote."""
    shutil.rmtree(storage_of(two_runs), ignore_errors=True)
    return two_runs.copy_to(tmp_path / "project")


def test_going_back_to_parameters_that_were_run_before_runs_no_stage(reproduced: Project, shared: Project) -> None:
    def reproduce(change: dict[str, dict[str, object]]) -> tuple[bool, dict[str, bytes]]:
        shutil.copyfile(reproduced.folder / "params.yaml", shared.folder / "params.yaml")
        shared.set_params(**change)
        return bool(repro(shared)), shared.contents(*RESULTS)

    first = [(True, project.contents(*RESULTS)) for project in (reproduced, shared)]
    first += [reproduce(change) for change in CHANGES]
    again = [reproduce(change) for change in ({}, LEARNING_RATE, *CHANGES)]
    assert [ran for ran, _ in first] == [True] * 4
    assert [ran for ran, _ in again] == [False] * 4
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


@pytest.mark.parametrize("command", ["dvc repro", "killed experiment", "refused value"])
def test_one_line_leads_back_to_the_last_commit(project: Project, command: str) -> None:
    before = project.contents("params.yaml", "dvc.lock", "data/*", "models/*", "metrics/**/*")
    if command == "dvc repro":
        project.set_params(neighbors={"top_k": 5})
        project.run("dvc", "repro")
    elif command == "killed experiment":
        process = subprocess.Popen(
            ["dvc", "exp", "run", "-S", "train.epochs=100000"],
            cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, encoding="utf-8",
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert any("Running stage 'train'" in line for line in process.stdout)
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=True)
        process.wait()
    else:
        printed = project.run("dvc", "exp", "run", "-S", "train.lr=-1", status=255)
        assert "error: params.yaml: train.lr" in printed
    project.run("bash", "-c", WAY_BACK)
    assert project.contents(*before) == before
    assert project.run("git", "status", "--porcelain") == ""
    assert "up to date" in project.run("dvc", "status")
