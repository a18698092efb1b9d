"""`dvc exp`, `metrics`, `params` and `plots` as an ML engineer uses them."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from projects import WAY_BACK, Project, stages_run

TASK_STATES = {"Queued", "Running", "Success", "Failed"}


def test_an_experiment_runs_what_its_parameter_changes_and_the_queue_does_not_run_it_again(project: Project) -> None:
    printed = project.run("dvc", "exp", "run", "--name", "one-tree", "-S", "ann.trees=1", "-S", "ann.search_k=11")
    assert set(stages_run(printed)) == {"ann", "report"}
    metrics = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    assert metrics["metrics/ann.json"]["recall_at_k"]["diff"] < 0
    params = json.loads(project.run("dvc", "params", "diff", "--json"))
    assert params["params.yaml"]["ann.trees"] == {"old": 10, "new": 1, "diff": -9}
    assert project.run("git", "diff", "--numstat", "params.yaml").split()[:2] == ["2", "2"]
    project.run("python", "src/show_report.py", "--out", "shown.html")
    shown = (project.folder / "shown.html").read_text(encoding="utf-8")
    assert "<td>name</td><td>one-tree</td>" in shown
    assert "<td>ann.trees</td><td>10</td><td>1</td>" in shown
    assert "0 test images have other nearest images" in shown
    assert "up to date" in project.run("dvc", "status")  # what is true of a run only is in a copy of its report

    project.run("bash", "-c", WAY_BACK)
    project.run("dvc", "exp", "run", "--queue", "-S", "ann.trees=1,2", "-S", "ann.search_k=11", "ann")
    project.run("dvc", "queue", "start", "--jobs", "2")
    tasks = finished_tasks(project)
    assert [status for _, status in tasks] == ["Success"] * 2, project.run("dvc", "queue", "logs", tasks[0][0])
    logs = [project.run("dvc", "queue", "logs", task) for task, _ in tasks]
    assert [stages_run(log) for log in logs if "Stage 'ann' is cached" in log] == [[]]
    workspace_and_head = json.loads(project.run("dvc", "exp", "show", "--json"))
    experiments = [experiment["revs"][0]["data"] for experiment in workspace_and_head[-1]["experiments"]]
    trees = [experiment["params"]["params.yaml"]["data"]["ann"]["trees"] for experiment in experiments]
    assert set(trees) == {1, 2}
    assert all("recall_at_k" in experiment["metrics"]["metrics/ann.json"]["data"] for experiment in experiments)


def test_a_network_from_an_onnx_file_goes_all_the_way_to_queries(project: Project, tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).standard_normal((32, 3, 5, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "kernel"], ["sums"], strides=[2, 2]),
            helper.make_node("Relu", ["sums"], ["maps"]),
        ],
        "network",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 48, 48])],
        [helper.make_tensor_value_info("maps", onnx.TensorProto.FLOAT, ["n", 32, 22, 22])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    project.set_params(
        data={"labels": "none"},  # so nothing is trained
        backbone={"name": str(path), "normalization": [[0.5, 0.5, 0.5], [0.2, 0.2, 0.2]], "taps": []},
        embedding={"visual_taps": []},
    )
    printed = project.run("dvc", "repro", "ann", "novelty")
    assert "32 features by openvino" in printed
    key = "unlabeled/jug__jug_0003.jpg"
    shutil.copyfile(project.folder / "data/images" / key, tmp_path / "photo.jpg")
    answer = project.run("python", "src/query.py", str(tmp_path / "photo.jpg")).splitlines()
    assert answer[1].split()[1:] == ["100", "same", "picture", key]
    assert project.run("python", "src/query.py", key).splitlines()[1].split()[0] == "1"
    refused = project.run("python", "src/export.py", status=1)
    assert refused.startswith("error: the backbone is net.onnx, which Keras cannot export")


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
