from pipeline.inputs import load_params, read_file

import shutil
from pathlib import Path

import dvc.api
import pygit2
import pytest
import yaml

from projects import ROOT, update_yaml
from similarity.errors import UserError

DEFAULTS = ROOT / "params.yaml"


def changed(tmp_path: Path, changes: dict[str, dict[str, object]]) -> Path:
    path = shutil.copyfile(DEFAULTS, tmp_path / "params.yaml")
    update_yaml(path, changes)
    return path


def test_a_number_may_be_a_string_as_dvc_writes_small_ones(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULTS.read_text(encoding="utf-8").replace("lr: 0.03", "lr: 1e-05"), encoding="utf-8")
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8"))["train"]["lr"], str)
    assert load_params(path).train.lr == 0.00001


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train.lr", -1, "train.lr: -1: input should be greater than 0"),
        ("train.lr", float("nan"), "train.lr: nan"),
        ("train.epochs", 2.5, "train.epochs: 2.5: .*valid integer"),
        ("ann.trees", True, "ann.trees: True: a number is needed, not true or false"),
        ("train.lrr", 0.1, "train.lrr is unknown; did you mean train.lr"),
        ("split.train", 0.9, "split: train . valid . test must be 1, not 1.3"),
        ("backbone.engine", "torch", "backbone.engine: 'torch': input should be 'openvino', .* or 'keras'"),
        ("backbone.name", "model.onnx", "backbone: normalization is needed with an ONNX file"),
        ("backbone.normalization", [[0, 0, 0], [1, 1, 1]], "backbone: normalization must be empty, since efficientnet"),
        ("backbone.normalization", [[0, 0, 0], [0, 1, 1]], "backbone.normalization.1.0: 0: input should be greater"),
        ("data.source", None, "data.source: None"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_is_allowed(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    section, key = name.split(".")
    path = changed(tmp_path, {section: {key: value}})
    with pytest.raises(UserError, match=message) as refusal:
        load_params(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_no_whole_params_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="root of the repository"):
        load_params(path)
    without_epochs = DEFAULTS.read_bytes().replace(b"  epochs: 60\n", b"")
    for content, message in (
        (b"a: [", ""),
        (b"- 1\n", ""),
        (b"\xff", ""),
        (without_epochs, r"train\.epochs is missing"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path}.*{message}"):
            load_params(path)


def test_visual_taps_must_be_tapped_unless_there_is_no_visual_part(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: embedding\.visual_taps: 'block4' is none of backbone\.taps"):
        load_params(changed(tmp_path, {"backbone": {"taps": []}}))
    for name, value in (("visual_size", 0), ("visual_taps", [])):
        load_params(changed(tmp_path, {"backbone": {"taps": []}, "embedding": {name: value}}))


@pytest.mark.parametrize(
    ("section", "key"),
    [("train", "lr"), ("backbone", "normalization"), ("backbone", "taps"), ("embedding", "visual_taps")],
)
def test_what_an_experiment_sets_changes_nothing_else(tmp_path: Path, section: str, key: str) -> None:
    """The writer that DVC uses spoils a file where a list with a comment behind its key becomes something else."""
    expected = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    path = changed(tmp_path, {})
    for value in ([], [5, 6], 0.5):
        update_yaml(path, {section: {key: value}})
        expected[section][key] = value
        assert yaml.safe_load(path.read_text(encoding="utf-8")) == expected
    if key == "lr":  # the file is in the form in which `dvc exp run -S` writes it back
        before, after = (each.read_text(encoding="utf-8").splitlines() for each in (DEFAULTS, path))
        assert [line for line in after if line not in before] == ["  lr: 0.5"]


def test_a_repository_of_somebody_else_is_named_with_the_line_that_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise pygit2.GitError("repository path '/srv/x' is not owned by current user")

    monkeypatch.setattr(dvc.api, "DVCFileSystem", refuse)
    with pytest.raises(UserError, match=r"not owned by current user\): run `git config --global --add safe\.dir"):
        read_file(Path("metrics/train.json"), "no revision that another test opens")
