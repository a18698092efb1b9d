"""What can be watched of a training while it runs."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

from similarity.errors import UserError
from similarity.files import Outputs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "train.json"


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module in a stage that DVC runs, with no wait between two versions."""
    from pipeline import watching

    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setattr(watching, "_SECONDS", 0)
    return watching


def end_epochs(live: Any, *losses: float) -> None:
    live.set_model(ModuleType("network"))
    live.on_train_begin()
    for epoch, loss in enumerate(losses):
        live.on_epoch_end(epoch, {"val_loss": loss})


def writer(file: Path) -> Callable[[dict[str, list[float]], Outputs], object]:
    return lambda history, outputs: outputs.file(file).write_text(str(history["val_loss"]), encoding="utf-8")


def test_versions_follow_one_another_and_the_last_one_is_the_stages_own(watching: ModuleType, file: Path) -> None:
    with Outputs() as outputs:
        with watching.LiveHistory(writer(file), file) as live:
            for losses in ((3.0,), (3.0, 2.0)):
                live.history = {}
                end_epochs(live, *losses)
                assert file.read_text(encoding="utf-8") == str(list(losses))
        outputs.file(file).write_text("final", encoding="utf-8")
    assert file.read_text(encoding="utf-8") == "final"
    assert list(file.parent.iterdir()) == [file]


def test_a_young_version_is_not_replaced(watching: ModuleType, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_SECONDS", 60)
    with watching.LiveHistory(writer(file), file) as live:
        end_epochs(live, 3.0)
    assert not file.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_stage_that_fails_leaves_none(watching: ModuleType, file: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), watching.LiveHistory(writer(file), file) as live:
        end_epochs(live, 3.0)
        raise error
    assert list(file.parent.iterdir()) == []


def test_a_stage_without_dvc_leaves_the_files_of_the_last_run_alone(
    watching: ModuleType, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_STAGE")
    file.write_text("of the last run", encoding="utf-8")
    with pytest.raises(ValueError, match="now"), watching.LiveHistory(writer(file), file) as live:
        end_epochs(live, 3.0)
        raise ValueError("now")
    assert file.read_text(encoding="utf-8") == "of the last run"


def fit(callbacks: list[Any]) -> None:
    import keras

    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    points = np.ones((4, 2), np.float32), np.ones(4, np.float32)
    network.fit(*points, validation_data=points, epochs=2, verbose=0, callbacks=callbacks)


def test_fit_fills_the_history_and_shows_its_progress(
    watching: ModuleType, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "tqdm", lambda **settings: tqdm(**{**settings, "disable": False}))
    with watching.LiveHistory(writer(file), file) as live:
        fit([live, *watching.progress_callbacks()])
    assert len(live.history["val_loss"]) == 2
    assert file.read_text(encoding="utf-8") == str(live.history["val_loss"])
    assert f"val_loss={live.history['val_loss'][-1]:.4f}" in capsys.readouterr().err


def test_tensorboard_gets_the_figures_on_request(
    watching: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv(watching.TENSORBOARD, str(tmp_path))
    fit(watching.progress_callbacks())
    assert {path.parent.name for path in tmp_path.rglob("events.*")} == {"train", "validation"}


def test_tensorboard_that_is_not_installed_is_named(watching: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watching.TENSORBOARD, "logs")
    monkeypatch.setattr(watching, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        watching.progress_callbacks()
