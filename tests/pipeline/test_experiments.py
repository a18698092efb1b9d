"""`dvc exp`, `metrics`, `params` and `plots` as an ML engineer uses them."""

import json
import re
import time
from pathlib import Path

from pipeline.stage import WAY_BACK
from projects import Project
from samples import write_rocks

TASK_STATES = {"Queued", "Running", "Success", "Failed"}
QUERY_PICTURE = r'<img src="static/\w+_plots_queries_query_'


def stages_run(printed: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", printed)


def test_an_experiment_runs_what_its_parameter_changes_and_can_be_compared(project: Project) -> None:
    assert stages_run(project.run("dvc", "exp", "run", "-S", "ann.trees=1", "-S", "ann.search_k=11")) == ["ann"]
    metrics = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    assert metrics["metrics/ann.json"]["recall_at_k"]["diff"] < 0
    params = json.loads(project.run("dvc", "params", "diff", "--json"))
    assert params["params.yaml"]["ann.trees"] == {"old": 10, "new": 1, "diff": -9}
    assert project.run("git", "diff", "--numstat", "params.yaml").split()[:2] == ["2", "2"]


def test_what_was_run_before_is_not_run_again_by_a_worker_of_the_queue(project: Project) -> None:
    project.run("dvc", "exp", "run", "-S", "ann.trees=1")
    project.run("bash", "-c", WAY_BACK)
    project.run("dvc", "exp", "run", "--queue", "-S", "ann.trees=1", "--name", "again")
    project.run("dvc", "queue", "start")
    assert finished_tasks(project)[0][1] == "Success"
    printed = project.run("dvc", "queue", "logs", "again")
    assert "Stage 'ann' is cached" in printed
    assert stages_run(printed) == []


def test_retrieval_is_measured_with_a_sample_where_there_are_more_queries(project: Project) -> None:
    printed = project.run("dvc", "exp", "run", "-S", "evaluate.max_queries=12")
    assert stages_run(printed) == ["baselines", "evaluate"]
    retrieval = json.loads((project.folder / "metrics/retrieval.json").read_text())
    assert retrieval["queries"] == 12
    assert len((project.folder / "metrics/plots/confusion.csv").read_text().splitlines()) == 1 + 12
    assert len((project.folder / "metrics/plots/per_class.csv").read_text().splitlines()) == 1 + 6


def test_a_small_learning_rate_in_scientific_notation_works(project: Project) -> None:
    printed = project.run("dvc", "exp", "run", "-S", "train.lr=0.00001", "-S", "train.epochs=1")
    assert set(stages_run(printed)) == {
        "train", "embed", "neighbors", "ann", "map", "evaluate"
    }  # fmt: skip
    assert "lr: 1e-05" in (project.folder / "params.yaml").read_text()


def test_a_queued_sweep_runs_in_two_workers(project: Project) -> None:
    project.run("dvc", "exp", "run", "--queue", "-S", "train.lr=0.003,0.03", "-S", "embedding.size=8,16")
    project.run("dvc", "queue", "start", "--jobs", "2")
    tasks = finished_tasks(project)
    assert [status for _, status in tasks] == ["Success"] * 4, project.run("dvc", "queue", "logs", tasks[0][0])
    workspace_and_head = json.loads(project.run("dvc", "exp", "show", "--json"))
    experiments = [experiment["revs"][0]["data"] for experiment in workspace_and_head[-1]["experiments"]]
    sizes = [experiment["params"]["params.yaml"]["data"]["embedding"]["size"] for experiment in experiments]
    assert sorted(sizes) == [8, 8, 16, 16]
    losses = {experiment["metrics"]["metrics/train.json"]["data"]["val_loss"] for experiment in experiments}
    assert len(losses) == 4


def finished_tasks(project: Project) -> list[tuple[str, str]]:
    """Waits for the queue, and gives each task's id and status."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        lines = [line.split() for line in project.run("dvc", "queue", "status").splitlines()]
        tasks = [(words[0], words[-1]) for words in lines if words and words[-1] in TASK_STATES]
        if tasks and all(status in {"Success", "Failed"} for _, status in tasks):
            return tasks
        time.sleep(2)
    raise TimeoutError(project.run("dvc", "queue", "status"))


def test_a_folder_of_ones_own_photos_is_all_it_takes(project: Project, tmp_path: Path) -> None:
    photos = write_rocks(tmp_path / "my photos", ("Gneis ß", "大理石"), 12)
    project.run("dvc", "exp", "run", "-S", f"data.source={photos}")
    assert json.loads((project.folder / "metrics/data.json").read_text())["images"] == 24
    assert sorted(path.name for path in (project.folder / "data/images").iterdir()) == ["Gneis ß", "大理石"]
    (photos / "大理石" / "000.png").unlink()
    assert f"modified:           {photos}" in project.run("dvc", "status", "fetch")


def test_plots_show_curves_recall_confusion_and_pictures(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "report")
    page = (project.folder / "report" / "index.html").read_text(encoding="utf-8")
    for title in ("Cross-entropy loss", "Recall of the approximate index", "10 nearest", "Class of each query"):
        assert title in page
    assert len(re.findall(QUERY_PICTURE, page)) == 3
    project.run("dvc", "exp", "run", "-S", "train.lr=0.001", "-S", "train.epochs=2")
    project.run("dvc", "plots", "diff", "HEAD", "--out", "comparison")
    comparison = (project.folder / "comparison" / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(QUERY_PICTURE, comparison)) == 2 * 3


def test_two_models_are_compared_query_by_query(project: Project) -> None:
    project.run("dvc", "exp", "run", "-S", "train.epochs=1", "--name", "untrained")
    project.run("bash", "-c", WAY_BACK)
    printed = project.run("python", "src/compare.py", "HEAD", "untrained").splitlines()
    queries = json.loads((project.folder / "metrics/retrieval.json").read_text())["queries"]
    assert printed[0].startswith(f"{queries} test images; HEAD, untrained")
    assert [line.split()[0] for line in printed[1:]] == ["correct", "p_at_1", "p_at_10", "map_at_r"]
    assert float(printed[1].split()[3]) < 0
    assert "p = 1" in project.run("python", "src/compare.py", "HEAD", "workspace")
    refused = project.run("python", "src/compare.py", "HEAD", "nonsense", status=1)
    assert refused.startswith("error: cannot read data/query_scores.csv of 'nonsense'")
    assert len(refused.splitlines()) == 1
