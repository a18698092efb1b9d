"""With the default network, the model beats what colors and pixels alone give, and planted faults are found."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from projects import ROOT, Project, copy_small_project, run_stages, update_yaml
from samples import write_wares
from similarity.data.images.pixels import resize

STAGES = ("fetch", "scan", "split", "backbone", "featurize", "train", "embed", "baselines", "evaluate")
CLASSES = ("bottle", "bowl", "jug", "mug", "teapot", "vase")
WRONG, EXACT, NEAR = 12, 6, 6
IMAGES_PER_CLASS = 50


@pytest.fixture(scope="module")
def judged(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project with a network that can judge forms: the default one, on smaller images."""
    backbone = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["backbone"]
    project = Project(tmp_path_factory.mktemp("quality") / "project", environment)
    copy_small_project(project.folder)
    project.set_params(backbone={**backbone, "image_size": 128})
    update_yaml(project.folder / "data/sources/demo.yaml", {"generate": {"images_per_class": 40, "size": 128}})
    with pytest.MonkeyPatch.context() as monkeypatch:
        project.enter(monkeypatch)
        run_stages(*STAGES)
    return project


def test_the_model_beats_colors_and_pixels_clearly_and_finds_every_class(judged: Project) -> None:
    model = judged.read_json("metrics/details/evaluate.json")
    baselines = judged.read_json("metrics/details/baselines.json")
    beaten = {
        name: max(baselines[each][name] for each in ("color_histogram", "pixels"))
        for name in ("p_at_1", "p_at_10", "map_at_r")
    }
    assert all(model[name] > 0.1 + value for name, value in beaten.items())
    assert model["intervals"]["test_accuracy"]["low"] > beaten["p_at_1"]
    assert baselines["color_histogram"]["p_at_10"] < 0.8  # colors alone do not solve the demo set
    scores = [float(row["p_at_10"]) for row in judged.read_table("metrics/plots/per_class.csv")]
    assert len(scores) == 6
    assert min(scores) > 2 / 6  # twice as often as by chance


def test_the_approximate_index_finds_more_with_more_candidates_and_in_the_end_all(reproduced: Project) -> None:
    recalls = [float(row["recall"]) for row in reproduced.read_table("metrics/plots/ann_recall.csv")]
    few, more, most = recalls[0], recalls[2], recalls[-1]  # 11, 110 and more candidates than there are images
    assert 0.5 < few < more <= most == 1
    assert more > 0.9


def test_an_edited_picture_is_found_more_often_than_by_the_class_part_alone(judged: Project) -> None:
    likeness = judged.read_json("metrics/details/evaluate.json")["likeness"]
    assert likeness["same_image_at_1"] == judged.read_json("metrics/likeness.json")["same_image_at_1"]
    assert likeness["same_image_at_1"] > 0.1 + likeness["class_part"]["same_image_at_1"]


def copy_of(images: Path, key: str) -> str:
    """Copy an image to the next class."""
    label, name = key.split("/")
    copied = f"{CLASSES[(CLASSES.index(label) + 1) % len(CLASSES)]}/{label}_{name}"
    shutil.copyfile(images / key, images / copied)
    return copied


def recompress(images: Path, key: str) -> str:
    saved = f"{Path(key).with_suffix('')}_again.jpg"
    with Image.open(images / key) as image:
        image.resize((120, 120)).save(images / saved, quality=85)
    return saved


def share(part: set, whole: set) -> float:
    return len(part & whole) / len(whole)


def test_planted_faults_are_found_and_few_others(
    judged: Project, tmp_path: Path, photographs: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, images = judged.copy_to(tmp_path / "project"), tmp_path / "images"
    write_wares(images, CLASSES, IMAGES_PER_CLASS, 128)  # the small project's images are too hard to be judged
    keys = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))
    chosen = np.random.default_rng(0).permutation(keys)[: WRONG + EXACT + NEAR].tolist()
    wrong = {copy_of(images, key) for key in chosen[:WRONG]}
    for key in chosen[:WRONG]:
        (images / key).unlink()
    exact = {frozenset((key, copy_of(images, key))) for key in chosen[WRONG : WRONG + EXACT]}
    near = {frozenset((key, recompress(images, key))) for key in chosen[WRONG + EXACT :]}
    foreign = {f"{label}/photograph.png" for label, _ in zip(CLASSES, photographs, strict=False)}
    for key, photograph in zip(sorted(foreign), photographs, strict=True):
        Image.fromarray(resize(photograph, 96).astype(np.uint8)).save(images / key)
    Image.new("RGB", (96, 96), "gray").save(images / "jug" / "plain.png")
    (images / "jug" / "broken.png").write_bytes(b"no image")
    project.set_params(data={"source": str(images)}, scan={"max_rejected": 0.1})
    project.enter(monkeypatch)
    run_stages("fetch", "scan", "featurize", "audit")
    rows = project.read_table("data/findings.csv")
    found: dict[str, set] = {}
    for row in rows:
        key = frozenset((row["path"], row["other"])) if row["other"] else row["path"]
        found.setdefault(row["finding"], set()).add(key)

    assert found["duplicate"] == exact
    assert project.read_json("metrics/details/audit.json")["duplicate_across_classes"] == EXACT
    assert found["near_duplicate"] == near
    assert found["odd"] == {"jug/plain.png"}
    assert found["unreadable"] == {"jug/broken.png"}
    odd_ones = foreign | {"jug/plain.png"}
    assert share(found["outlier"], odd_ones) >= 0.5
    assert share(odd_ones, found["outlier"]) >= 0.5
    # a copy in another class is mislabeled as well, and so are the photographs
    assert share(wrong | foreign.union(*exact), found["wrong_label"]) >= 0.8  # a twelfth would be by chance
    doubted = (found["wrong_label"] | found["doubtful_label"]) & wrong
    assert share(doubted, wrong) >= 0.7
    suggested = {row["path"]: row["suggested"] for row in rows if row["suggested"]}
    right = {key for key in doubted if suggested[key] == key.split("/")[1].split("_")[0]}
    assert share(right, doubted) >= 0.8
