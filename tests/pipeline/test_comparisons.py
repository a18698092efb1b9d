"""Two trainings side by side: their plots, and their results query by query."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from compare import describe
from projects import ROOT, Project, output_names, stages_run

QUERY_PICTURE = r'<img src="static/\w+_plots_queries_query_'
NAMES = "correct", "p_at_1", "p_at_10", "map_at_r", "unseen_p_at_10", "unseen_map_at_r"
EVALUATE = f"""
import random, yaml
from pathlib import Path
params = yaml.safe_load(Path("params.yaml").read_text())["train"]
random.seed(params["seed"])
rows = ["path,split,{",".join(NAMES)}"]
rows += [f"a/{{i}}.jpg,valid" + 6 * f",{{params['lr'] + random.random() / 100}}" for i in range(40)]
Path("metrics/details").mkdir(parents=True, exist_ok=True)
Path("metrics/details/query_scores.csv").write_text("\\n".join(rows))
"""
DVC_YAML = """
stages:
  evaluate: {cmd: python src/evaluate.py, params: [train], outs: [metrics/details/query_scores.csv]}
  report: {cmd: exit 1, deps: [metrics/details/query_scores.csv]}
"""


@pytest.fixture(scope="module")
def experiment(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A copy of the reproduced project with an experiment in it, not to be changed, and what the experiment printed."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("projects") / "experiment")
    return project, project.run(
        "dvc", "exp", "run", "-S", "train.lr=0.00001", "-S", "train.epochs=1", "--name", "untrained"
    )


def test_a_small_learning_rate_in_scientific_notation_works(experiment: tuple[Project, str]) -> None:
    project, printed = experiment
    expected = {"train", "embed", "neighbors", "ann", "novelty", "evaluate", "report"}
    assert set(stages_run(printed)) == expected
    assert "lr: 1e-05" in (project.folder / "params.yaml").read_text(encoding="utf-8")


def test_plots_show_curves_recall_confusion_and_pictures(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "report")
    page = (project.folder / "report" / "index.html").read_text(encoding="utf-8")
    for title in ("Cross-entropy loss", "Recall of the approximate index", "10 nearest", "Class of each query"):
        assert title in page
    assert len(re.findall(QUERY_PICTURE, page)) == 10
    assert "The charts below stay empty" in page  # shown if the library that draws them does not come
    assert not re.search(r"\{(scripts|plot_divs|refresh_tag)\}", page)


def test_two_models_are_compared_query_by_query(experiment: tuple[Project, str]) -> None:
    """By the validation images, unless the test images are asked for; one training each shows no difference."""
    project, _ = experiment
    project.run("dvc", "plots", "diff", "HEAD", "--out", "comparison")
    comparison = (project.folder / "comparison" / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(QUERY_PICTURE, comparison)) == 2 * 10
    scores = (project.folder / "metrics/details/query_scores.csv").read_text(encoding="utf-8")
    for option, split, described in (((), "valid", "validation"), (("--test",), "test", "test")):
        printed = project.run("python", "src/compare.py", "HEAD", "untrained", *option).splitlines()
        assert printed[0] == f"{scores.count(f',{split},')} {described} images; HEAD, untrained, difference"
        assert tuple(line.split()[0] for line in printed[1:-1]) == NAMES
        assert float(printed[1].split()[3]) < 0
        assert printed[-1] == "One training of each does not show whether they differ: add `--seeds 3`."
    refused = project.run("python", "src/compare.py", "HEAD", "nonsense", status=1)
    assert refused.startswith("error: cannot read metrics/details/query_scores.csv of 'nonsense'")
    assert len(refused.splitlines()) == 1


def test_trainings_with_other_seeds_are_queued_once_and_compared(tmp_path: Path, environment: dict[str, str]) -> None:
    """With a stage that only draws scores, by the seed and around the learning rate, in place of the real one."""
    assert "metrics/details/query_scores.csv" in output_names(Project(ROOT, environment), "evaluate")
    project = Project(tmp_path / "project", environment)
    shutil.copytree(ROOT / "src", project.folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    files = {"src/evaluate.py": EVALUATE, "dvc.yaml": DVC_YAML, "params.yaml": "train: {lr: 0.5, seed: 0}\n"}
    for name, text in files.items():
        (project.folder / name).write_text(text, encoding="utf-8")
    for command in (("git", "init", "--quiet"), ("dvc", "init", "--quiet"), ("dvc", "repro", "--quiet", "evaluate")):
        project.run(*command)
    project.commit()
    project.run("dvc", "exp", "run", "--quiet", "-S", "train.lr=0.75", "--name", "better", "evaluate")
    compare = ("python", "src/compare.py", "better", "better", "--seeds", "2")
    for _ in range(2):
        assert "2 trainings are queued: run `dvc queue start`" in project.run(*compare)
    project.run("dvc", "exp", "run", "--run-all", "--quiet")
    printed = project.run(*compare).splitlines()
    assert printed[0] == "40 validation images, 2 trainings of each; better, better, difference"
    assert tuple(line.split()[0] for line in printed[1:]) == NAMES
    assert all(line.endswith("no difference shown") and " 0.75" in line for line in printed[1:])
    (project.folder / "src/evaluate.py").write_text("", encoding="utf-8")
    assert "the workspace has other code than better" in project.run(*compare, status=1)


def test_a_difference_is_one_that_trainings_and_queries_do_not_explain() -> None:
    scores = 0.5 + 0.01 * np.random.default_rng(0).random((2, 3, 40, 6))  # of two models, three trainings each
    scores[1, ..., 0] += 0.1
    scores[:, :, :20, 1], scores[..., 2] = np.nan, np.nan
    lines = list(describe(("one", "other"), "test", list(scores)))
    assert lines[0] == "40 test images, 3 trainings of each; one, other, difference"
    assert [line.split()[0] for line in lines[1:]] == ["correct", "p_at_1", "map_at_r", *NAMES[4:]]
    assert lines[1].endswith(": a difference")
    assert all(line.endswith(": no difference shown") for line in lines[2:])
