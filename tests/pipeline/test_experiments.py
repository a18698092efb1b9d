"""`dvc exp`, `metrics`, `params` and `plots` as an ML engineer uses them."""

import json

from projects import WAY_BACK, Project, stages_run


def test_an_experiment_runs_what_its_parameter_changes_and_the_queue_does_not_run_it_again(project: Project) -> None:
    before = project.contents("dvc.lock", "models/*", "metrics/**/*")
    printed = project.run("dvc", "exp", "run", "--name", "one-tree", "-S", "ann.trees=1", "-S", "ann.search_k=11")
    assert set(stages_run(printed)) == {"ann", "report"}
    metrics = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    assert metrics["metrics/ann.json"]["recall_at_k"]["diff"] < 0
    assert project.run("git", "diff", "--numstat", "params.yaml").split()[:2] == ["2", "2"]
    project.run("python", "src/show_report.py", "--out", "shown.html")
    shown = (project.folder / "shown.html").read_text(encoding="utf-8")
    assert "<td>name</td><td>one-tree</td>" in shown
    assert "<td>ann.trees</td><td>10</td><td>1</td>" in shown
    assert "0 test images have other nearest images" in shown

    project.run("bash", "-c", WAY_BACK)
    assert project.contents(*before) == before
    project.run("dvc", "exp", "run", "--queue", "-S", "ann.trees=1,2", "-S", "ann.search_k=11", "ann")
    printed = project.run("dvc", "exp", "run", "--run-all", "--jobs", "2")
    assert stages_run(printed) == ["ann"]
    assert printed.count("Stage 'ann' is cached") == 1
    workspace_and_head = json.loads(project.run("dvc", "exp", "show", "--json"))
    experiments = [experiment["revs"][0]["data"] for experiment in workspace_and_head[-1]["experiments"]]
    trees = [experiment["params"]["params.yaml"]["data"]["ann"]["trees"] for experiment in experiments]
    assert set(trees) == {1, 2}
    assert all("recall_at_k" in experiment["metrics"]["metrics/ann.json"]["data"] for experiment in experiments)
