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


def test_the_approximate_index_finds_more_with_more_candidates_and_in_the_end_all(reproduced: Project) -> None:
    with (reproduced.folder / "metrics/plots/ann_recall.csv").open(encoding="utf-8", newline="") as file:
        recalls = [float(row["recall"]) for row in csv.DictReader(file)]
    few, more, most = recalls[0], recalls[2], recalls[-1]  # 11, 110 and more candidates than there are images
    assert 0.5 < few < more <= most == metrics(reproduced, "ann")["recall_at_k"] == 1
    assert more > 0.9


def test_the_classifier_beats_the_nearest_image_by_color_or_pixels(reproduced: Project) -> None:
    retrieval, baselines = metrics(reproduced, "retrieval"), metrics(reproduced, "baselines")
    nearest = max(baselines[baseline]["p_at_1"] for baseline in ("color_histogram", "pixels"))
    assert retrieval["test_accuracy"] > 0.1 + nearest
    assert retrieval["intervals"]["test_accuracy"]["low"] > nearest


def test_a_changed_picture_is_found_more_often_than_by_the_class_part_alone(reproduced: Project) -> None:
    likeness = metrics(reproduced, "likeness")
    assert likeness["same_image_at_1"] > 0.1 + likeness["class_part"]["same_image_at_1"]
