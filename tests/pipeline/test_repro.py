"""What `dvc repro` leaves behind."""

import json
import math
import re
from pathlib import Path

import numpy as np

from projects import Project, stages_run


def numbers(value: object) -> list[float]:
    return [n for v in value.values() for n in numbers(v)] if isinstance(value, dict) else [value]  # type: ignore[list-item]


def test_every_file_has_the_keys_of_the_manifest_in_its_order(reproduced: Project) -> None:
    keys = [row["path"] for row in reproduced.read_table("data/manifest.csv")]
    assert len(keys) == 6 * 24
    assert keys == sorted(keys)
    for name in ("embeddings", "inverted-index", "ann-inverted-index"):
        assert list(reproduced.read_json(f"models/{name}.json")) == keys
    assert len(np.load(reproduced.folder / "data/features.npy")) == len(keys)
    with np.load(reproduced.folder / "models/map.npz") as positions:
        assert {name: array.shape for name, array in positions.items()} == dict.fromkeys(("all", "look"), (144, 2))
    array = np.load(reproduced.folder / "models/embeddings.npy")
    assert (array.dtype, array.shape) == (np.float32, (144, 32 + 16))
    listed = np.array(list(reproduced.read_json("models/embeddings.json").values()), np.float32)
    np.testing.assert_array_equal(listed, array)


def test_inverted_indexes_hold_true_cosines_best_first_without_the_image_itself(reproduced: Project) -> None:
    embeddings = {key: np.array(value) for key, value in reproduced.read_json("models/embeddings.json").items()}
    for name in ("inverted-index", "ann-inverted-index"):
        for key, neighbors in reproduced.read_json(f"models/{name}.json").items():
            assert len(neighbors) == 10
            assert key not in [other for other, _ in neighbors]
            cosines = [cosine for _, cosine in neighbors]
            assert cosines == sorted(cosines, reverse=True)
            for other, cosine in neighbors[:2]:
                a, b = embeddings[key], embeddings[other]
                assert abs(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) - cosine) < 1e-5


HEADLINES = {
    "data": {"images"},
    "train": {"val_loss", "val_accuracy", "best_epoch"},
    "ann": {"recall_at_k"},
    "novelty": {"novelty"},
    "retrieval": {"p_at_10", "map_at_r"},
    "likeness": {"same_image_at_1"},
    "audit": {"findings"},
}


def test_ten_metrics_are_declared_and_all_figures_are_finite_with_six_decimals(reproduced: Project) -> None:
    assert {path.stem for path in (reproduced.folder / "metrics").glob("*.json")} == set(HEADLINES)
    for name, names in HEADLINES.items():
        assert set(reproduced.read_json(f"metrics/{name}.json")) == names
    for path in (reproduced.folder / "metrics").rglob("*.json"):
        figures = numbers(json.loads(path.read_text(encoding="utf-8")))
        assert all(math.isfinite(number) and round(number, 6) == number for number in figures)


def test_metrics_fit_on_a_screen(reproduced: Project) -> None:
    difference = reproduced.run("dvc", "metrics", "diff", "--all")
    assert max(map(len, difference.splitlines())) <= 120
    assert all(re.search(rf"\b{name}\b", difference) for names in HEADLINES.values() for name in names)


def test_figures_of_each_class_and_query_are_tables(reproduced: Project) -> None:
    per_class = reproduced.read_table("metrics/plots/per_class.csv")
    assert [row["class"] for row in per_class] == ["bottle", "bowl", "jug", "mug", "teapot", "vase"]
    scores = [row for row in reproduced.read_table("metrics/details/query_scores.csv") if row["split"] == "test"]
    figures = reproduced.read_json("metrics/details/evaluate.json")
    assert len(scores) == figures["queries"] == sum(int(row["queries"]) for row in per_class)
    for column, name in (("correct", "test_accuracy"), ("p_at_10", "p_at_10")):
        mean = sum(float(row[column]) for row in scores) / len(scores)
        assert abs(mean - figures[name]) < 2e-6


def test_the_report_has_the_figures_and_the_pictures_and_is_small(reproduced: Project) -> None:
    page = (reproduced.folder / "metrics/report.html").read_text(encoding="utf-8")
    figures = reproduced.read_json("metrics/retrieval.json")
    assert f"<b>{figures['p_at_10']:.3f}</b>of the ten nearest images" in page
    assert "144 images in 6 classes from data/sources/demo.yaml: 84 training" in " ".join(page.split())
    assert page.count("<figcaption>query<br>") >= 6
    assert set(re.findall(r"https?:[^\"]{18}", page)) <= {"http://127.0.0.1:8000/?", "http://127.0.0.1:8000/,"}
    assert "<script" not in page
    assert len(page) < 1_000_000


def test_a_second_run_has_nothing_to_do(reproduced: Project) -> None:
    assert not stages_run(reproduced.run("dvc", "repro"))


def test_artifacts_come_out_of_a_clone_by_the_tag_of_their_version(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit()
    artifacts = {"embedding-model": "models/embedder", "similarity-index": "models/index.ann"}
    project.run("dvc", "push", *artifacts.values())
    results = project.contents("models/index.ann", "models/embedder/*")
    for name in artifacts:
        project.run("git", "tag", "--annotate", f"{name}@v1.0.0", "--message", "first")
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    for name, path in artifacts.items():
        project.run("dvc", "artifacts", "get", str(tmp_path / "clone"), name, "--out", str(tmp_path / path))
    assert project._replace(folder=tmp_path).contents(*results) == results
