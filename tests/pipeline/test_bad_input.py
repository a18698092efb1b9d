"""What cannot work is refused in one line with status 1, and what was made before stays."""

from pipeline.stage import ADVICE, run_stage

import importlib
from pathlib import Path

import numpy as np
import pytest

from projects import Project, run_stages, stages_run
from samples import write_wares
from similarity.data.dataset.manifest import read_manifest, read_splits
from similarity.data.files import Outputs
from similarity.layout import IMAGES
from similarity.params import Params

RESULTS = ("data/images/*/*", "data/*.*", "data/scan/*", "models/*", "metrics/**/*")


def refusal(stage: str) -> str:
    """Run a stage that must refuse; return its one line, which is followed by what to do then."""
    with pytest.raises(SystemExit) as end:
        run_stage(importlib.import_module(stage).main)
    message, advice = str(end.value.code).splitlines()
    assert message.startswith("error: ")
    assert advice == ADVICE
    return message


def test_a_wrong_parameter_is_refused_and_no_result_is_touched(here: Project) -> None:
    before, right = here.contents(*RESULTS), (here.folder / "params.yaml").read_bytes()
    (here.folder / "data/empty").mkdir()
    for stage, name, wrong, message in (
        ("train", "train.lrr", 0.1, "params.yaml: train.lrr is unknown; did you mean train.lr?"),
        ("fetch", "data.source", "data/empty", "data.source has no images"),
        ("fetch", "data.source", "dvc.lock", "dvc.lock cannot be unpacked as a .zip or .tar"),
    ):
        section, key = name.split(".")
        here.set_params(**{section: dict[str, object]({key: wrong})})
        assert message in refusal(stage)
        (here.folder / "params.yaml").write_bytes(right)
    assert here.contents(*RESULTS) == before


def test_after_a_wrong_parameter_that_dvc_found_correcting_it_brings_all_results_back(project: Project) -> None:
    """DVC has removed the outputs of `fetch` by then; nothing that was changed in tracked files is lost."""
    before, right = project.contents(*RESULTS), (project.folder / "params.yaml").read_bytes()
    printed = project.run("dvc", "exp", "run", "-S", "data.heic=maybe", status=255)
    assert "error: params.yaml: data.heic: 'maybe': input should be 'read' or 'leave_out'" in printed
    assert ADVICE in printed
    assert "Traceback" not in printed
    assert not (project.folder / "data/images").exists()
    (project.folder / "params.yaml").write_bytes(right)
    assert stages_run(project.run("dvc", "repro")) == []
    assert project.contents(*RESULTS) == before


@pytest.mark.parametrize(("end", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_stage_that_is_interrupted_or_terminated_keeps_all_results(
    here: Project, end: BaseException, status: int
) -> None:
    def main(_: Params, outputs: Outputs) -> None:
        (outputs.folder(IMAGES) / "jug").mkdir()
        raise end

    before = here.contents(*RESULTS)
    with pytest.raises(SystemExit) as ended:
        run_stage(main)
    assert ended.value.code == status
    assert here.contents(*RESULTS) == before
    assert not list(here.folder.glob("data/.new.*"))


def test_without_classes_a_visual_part_is_needed(here: Project) -> None:
    here.set_params(data={"labels": "none"}, embedding={"visual_size": 0, "visual_taps": []})
    run_stages("fetch", "scan", "split")
    assert "set embedding.visual_size and embedding.visual_weight above 0, or put" in refusal("train")


def test_no_stage_takes_results_of_other_images_for_its_own(here: Project, tmp_path: Path) -> None:
    here.set_params(data={"source": str(write_wares(tmp_path / "wares", ("jug", "vase"), 20))})
    run_stages("fetch", "scan")
    before = here.contents(*RESULTS)
    for stage in ("train", "ann", "evaluate", "audit"):
        assert "run `dvc repro`" in refusal(stage), stage
    assert here.contents(*RESULTS) == before


def test_features_of_another_backbone_and_damaged_arrays_are_refused(here: Project) -> None:
    path = here.folder / "data/features.npy"
    replace_array(path, np.load(path)[:, :-3])
    expected = "data/features.npy has rows of 157 numbers, where 160 are expected: run `dvc repro`"
    assert expected in refusal("evaluate")
    path = here.folder / "models/embeddings.npy"
    content = path.read_bytes()
    for damaged in (b"", content[:-5], b"x" * len(content)):
        path.unlink()
        path.write_bytes(damaged)
        assert "models/embeddings.npy is damaged: run `dvc checkout`" in refusal("neighbors")


@pytest.mark.filterwarnings("ignore:overflow")
def test_images_whose_embeddings_are_not_finite_are_named(here: Project) -> None:
    path = here.folder / "data/features.npy"
    features, manifest = np.load(path), read_manifest(here.folder / "data/manifest.csv")
    rows = read_splits(here.folder / "data/splits.csv", manifest)["test"][:2]  # which fit no part of the model
    features[rows] = 3e38
    replace_array(path, features)
    before = here.contents(*RESULTS)
    named = "; ".join(f"{manifest.keys[row]} has numbers that are not finite" for row in rows)
    advice = "the features are too large for the model: leave the images out"
    assert refusal("embed").endswith(f"error: {named}: {advice}")
    assert here.contents(*RESULTS) == before


def replace_array(path: Path, array: np.ndarray) -> None:
    path.unlink()  # it may be a link to what other tests use
    np.save(path, array)


def test_a_missing_input_says_how_to_get_it(here: Project) -> None:
    (here.folder / "models/best.weights.h5").unlink()
    assert "models/best.weights.h5 is missing: run `dvc repro`, or `dvc pull`" in refusal("embed")
