"""What can be watched of a training while it runs."""

from pathlib import Path

import pytest
from tqdm import tqdm

import train
from similarity.data.files import Outputs
from similarity.errors import UserError
from similarity.params import TrainParams

SETTINGS = TrainParams(
    lr=1, epochs=3, patience=None, batch_size=32, optimizer="sgd", schedule="cosine", momentum=0.9, loss="softmax",
    scale=None, dropout=0, seed=0,
)  # fmt: skip


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of figures of a stage that DVC runs, with no wait between two versions."""
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setattr(train, "SECONDS", 0)
    monkeypatch.setattr(train, "HISTORY", tmp_path / "history.csv")
    monkeypatch.setattr(train, "FIGURES", tmp_path / "train.json")
    return tmp_path / "train.json"


def epoch(loss: float) -> dict[str, float]:
    return {"loss": 1, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 0.5, "val_map_at_r": 0.5}


def test_versions_follow_one_another_and_the_last_one_is_the_stages_own(figures: Path) -> None:
    with Outputs() as outputs:
        with train.watched(SETTINGS) as end_epoch:
            for number, best in enumerate((1, 2, 2)):
                end_epoch(number, epoch([3, 2, 4][number]))
                content = figures.read_text(encoding="utf-8")
                assert f'"best_epoch": {best}' in content
                assert f'"epoch": {number + 1}' in content
                assert len((figures.parent / "history.csv").read_text(encoding="utf-8").splitlines()) == number + 2
        outputs.file(figures).write_text("final", encoding="utf-8")
    assert figures.read_text(encoding="utf-8") == "final"
    assert sorted(path.name for path in figures.parent.iterdir()) == ["history.csv", "train.json"]


def test_a_young_version_is_not_replaced(figures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "SECONDS", 60)
    with train.watched(SETTINGS) as end_epoch:
        end_epoch(0, epoch(3))
    assert not figures.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_stage_that_fails_leaves_none(figures: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), train.watched(SETTINGS) as end_epoch:
        end_epoch(0, epoch(3))
        raise error
    assert list(figures.parent.iterdir()) == []


def test_a_stage_without_dvc_leaves_the_files_of_the_last_run_alone(
    figures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_STAGE")
    figures.write_text("of the last run", encoding="utf-8")
    with pytest.raises(ValueError, match="now"), train.watched(SETTINGS) as end_epoch:
        end_epoch(0, epoch(3))
        raise ValueError("now")
    assert figures.read_text(encoding="utf-8") == "of the last run"


def test_progress_shows_the_validation_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "tqdm", lambda **settings: tqdm(**{**settings, "disable": False, "mininterval": 0}))
    with train.watched(SETTINGS) as end_epoch:
        end_epoch(0, epoch(0.25))
    assert "val_loss=0.2500" in capsys.readouterr().err


def test_tensorboard_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_SIMILARITY_TENSORBOARD", "logs")
    monkeypatch.setattr(train, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        train.tensorboard_folder()
