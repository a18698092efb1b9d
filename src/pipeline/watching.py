"""Keras callbacks that show a training while it runs: its figures in files, its progress, and TensorBoard.

Importing this module imports TensorFlow (seconds).
"""

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from similarity.embedding.training import keras
from similarity.errors import UserError
from similarity.files import Outputs

TENSORBOARD = "IMAGE_SIMILARITY_TENSORBOARD"
"""The environment variable that names the folder for TensorBoard's logs."""
_SECONDS = 1.0  # between two versions of the files

Logs = dict[str, float]


class LiveHistory(keras.callbacks.History):
    """Records the figures of each epoch, and writes outputs of the stage about every second while it trains.

    `dvc exp show` and whatever draws the plots then show the run as it goes. DVC has removed these files before the
    stage, so nothing is lost; without DVC they are not written. Each version is whole. Used as a context manager: if
    the block fails, the files are removed.
    """

    def __init__(self, write: Callable[[dict[str, list[float]], Outputs], object], *paths: Path) -> None:
        """Take the function that writes the files from the figures by name, and their paths."""
        super().__init__()
        self._write, self._paths, self._is_live = write, paths, "DVC_STAGE" in os.environ
        self._next = time.monotonic() + _SECONDS

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Record the figures, and write the files if the last version is a second old."""
        super().on_epoch_end(epoch, logs)
        if self._is_live and time.monotonic() >= self._next:
            with Outputs() as outputs:
                self._write(self.history, outputs)
            self._next = time.monotonic() + _SECONDS

    def __enter__(self) -> "LiveHistory":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._is_live:
            for path in self._paths:
                path.unlink(missing_ok=True)


class Progress(keras.callbacks.Callback):
    """Shows a progress bar with the validation loss, unless the output is no terminal."""

    def on_train_begin(self, _: Logs | None = None) -> None:
        self._bar = tqdm(total=self.params["epochs"], desc="train", unit=" epochs", disable=None, leave=False)

    def on_epoch_end(self, _: int, logs: Logs | None = None) -> None:
        self._bar.set_postfix(val_loss=f"{(logs or {})['val_loss']:.4f}", refresh=False)
        self._bar.update()

    def on_train_end(self, _: Logs | None = None) -> None:
        self._bar.close()


def progress_callbacks() -> list[keras.callbacks.Callback]:
    """Create the progress bar and, if the environment names a folder for it, TensorBoard's callback.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """
    folder = os.environ.get(TENSORBOARD)
    if not folder:
        return [Progress()]
    if find_spec("tensorboard") is None:
        raise UserError(f"{TENSORBOARD} is set, but TensorBoard is not installed: pip install tensorboard")
    return [Progress(), keras.callbacks.TensorBoard(folder)]
