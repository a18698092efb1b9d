"""The model earns its compute: on a small demo set it beats what colors and pixels alone give."""

import csv
import json

import pytest
import yaml

from projects import ROOT, Project, update_yaml


@pytest.fixture(scope="module")
def judged(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project with a network that can judge forms: the default one, on smaller images."""
    backbone = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["backbone"]
    project = reproduced.copy_to(tmp_path_factory.mktemp("quality") / "project")
    project.set_params(backbone={**backbone, "image_size": 128})
    update_yaml(project.folder / "data/sources/demo.yaml", {"generate": {"images_per_class": 40, "size": 128}})
    project.run_stages("evaluate")
    return project


def figures(project: Project, name: str) -> dict:
    return json.loads((project.folder / "metrics" / f"{name}.json").read_text(encoding="utf-8"))


def column(project: Project, table: str, name: str) -> list[float]:
    with (project.folder / "metrics/plots" / table).open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_the_model_beats_colors_and_pixels_clearly(judged: Project) -> None:
    model, baselines = figures(judged, "details/evaluate"), figures(judged, "details/baselines")
    beaten = {
        name: max(baselines[each][name] for each in ("color_histogram", "pixels"))
        for name in ("p_at_1", "p_at_10", "map_at_r")
    }
    assert all(model[name] > 0.1 + value for name, value in beaten.items())
    assert {"p_at_10", "map_at_r"} == set(figures(judged, "retrieval"))
    assert model["intervals"]["test_accuracy"]["low"] > beaten["p_at_1"]
    assert baselines["color_histogram"]["p_at_10"] < 0.8  # colors alone do not solve the demo set


def test_every_class_is_found_more_often_than_by_chance(judged: Project) -> None:
    scores = column(judged, "per_class.csv", "p_at_10")
    assert len(scores) == 6
    assert min(scores) > 2 / len(scores)


def test_the_approximate_index_finds_more_with_more_candidates_and_in_the_end_all(reproduced: Project) -> None:
    recalls = column(reproduced, "ann_recall.csv", "recall")
    few, more, most = recalls[0], recalls[2], recalls[-1]  # 11, 110 and more candidates than there are images
    assert 0.5 < few < more <= most == 1
    assert more > 0.9


def test_an_edited_picture_is_found_more_often_than_by_the_class_part_alone(judged: Project) -> None:
    likeness = figures(judged, "details/evaluate")["likeness"]
    assert likeness["same_image_at_1"] == figures(judged, "likeness")["same_image_at_1"]
    assert likeness["same_image_at_1"] > 0.1 + likeness["class_part"]["same_image_at_1"]
