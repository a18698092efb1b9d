"""The model earns its compute: on a small demo set it beats what colors and pixels alone give."""

import csv
import json

from projects import Project


def metrics(project: Project, name: str) -> dict:
    return json.loads((project.folder / "metrics" / f"{name}.json").read_text(encoding="utf-8"))


def test_retrieval_beats_both_baselines_clearly(reproduced: Project) -> None:
    model, baselines = metrics(reproduced, "retrieval"), metrics(reproduced, "baselines")
    for name in ("p_at_1", "p_at_10", "map_at_r"):
        assert model[name] > 0.1 + max(baselines[baseline][name] for baseline in ("color_histogram", "pixels"))


def test_colors_alone_do_not_solve_the_demo_set(reproduced: Project) -> None:
    assert metrics(reproduced, "baselines")["color_histogram"]["p_at_10"] < 0.8


def test_every_class_is_found_more_often_than_by_chance(reproduced: Project) -> None:
    with (reproduced.folder / "metrics/plots/per_class.csv").open(encoding="utf-8", newline="") as file:
        scores = [float(row["p_at_10"]) for row in csv.DictReader(file)]
    assert len(scores) == 6
    assert min(scores) > 2 / len(scores)


def test_the_approximate_index_finds_nearly_all_true_neighbors(reproduced: Project) -> None:
    assert metrics(reproduced, "ann")["recall_at_k"] >= 0.95


def test_the_classifier_is_far_above_chance_on_images_it_never_saw(reproduced: Project) -> None:
    assert metrics(reproduced, "retrieval")["intervals"]["test_accuracy"]["low"] > 0.5  # by chance: 1/6
    assert metrics(reproduced, "train")["val_accuracy"] > 0.6


def test_a_changed_picture_is_found_more_often_than_by_the_class_part_alone(reproduced: Project) -> None:
    likeness = metrics(reproduced, "likeness")
    assert likeness["same_image_at_1"] > 0.1 + likeness["class_part"]["same_image_at_1"]
