"""Two models compared by several trainings of each."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import compare
from projects import ROOT, Project, output_names
from similarity.errors import UserError

EVALUATE = f"""
import random, yaml
from pathlib import Path
params = yaml.safe_load(Path("params.yaml").read_text())["train"]
random.seed(params["seed"])
rows = ["path,split,{",".join(compare.NAMES)}"]
rows += [f"a/{{i}}.jpg,valid" + 6 * f",{{params['lr'] + random.random() / 100}}" for i in range(40)]
Path("metrics/details").mkdir(parents=True, exist_ok=True)
Path("metrics/details/query_scores.csv").write_text("\\n".join(rows))
"""
DVC_YAML = """
stages:
  evaluate: {cmd: python src/evaluate.py, params: [train], outs: [metrics/details/query_scores.csv]}
  report: {cmd: exit 1, deps: [metrics/details/query_scores.csv]}
"""


def test_trainings_with_other_seeds_are_queued_once_and_compared(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a stage that only draws scores, by the seed and around the learning rate, in place of the real one."""
    assert "metrics/details/query_scores.csv" in output_names(Project(ROOT, environment), "evaluate")
    project = Project(tmp_path / "project", environment)
    shutil.copytree(ROOT / "src", project.folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    files = {"src/evaluate.py": EVALUATE, "dvc.yaml": DVC_YAML, "params.yaml": "train: {lr: 0.5, seed: 0}\n"}
    for name, text in files.items():
        (project.folder / name).write_text(text, encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    project.commit()
    project.run("dvc", "exp", "run", "--quiet", "-S", "train.lr=0.75", "--name", "better", "evaluate")
    project.enter(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["compare.py", "better", "better", "--seeds", "2"])
    for _ in range(2):
        compare.main()
        assert "2 trainings are queued: run `dvc queue start`" in capsys.readouterr().out
    project.run("dvc", "exp", "run", "--run-all", "--quiet")
    compare.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "40 validation images, 2 trainings of each; better, better, difference"
    assert tuple(line.split()[0] for line in printed[1:]) == compare.NAMES
    assert all(line.endswith("no difference shown") and " 0.75" in line for line in printed[1:])
    (project.folder / "src/evaluate.py").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="the workspace has other code than better"):
        compare.main()


def test_a_difference_is_one_that_trainings_and_queries_do_not_explain() -> None:
    scores = 0.5 + 0.01 * np.random.default_rng(0).random((2, 3, 40, 6))  # of two models, three trainings each
    scores[1, ..., 0] += 0.1
    scores[:, :, :20, 1], scores[..., 2] = np.nan, np.nan
    lines = list(compare.describe(("one", "other"), "test", list(scores)))
    assert lines[0] == "40 test images, 3 trainings of each; one, other, difference"
    assert [line.split()[0] for line in lines[1:]] == ["correct", "p_at_1", "map_at_r", *compare.NAMES[4:]]
    assert lines[1].endswith(": a difference")
    assert all(line.endswith(": no difference shown") for line in lines[2:])
