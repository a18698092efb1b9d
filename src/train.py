"""Stage `train`: fit the embedding and the classifier to the labeled training images, and keep the best epoch.

The network is `build_network` in `similarity/embedding/training.py`. To follow a training in TensorBoard, name a folder
for its logs: `IMAGE_SIMILARITY_TENSORBOARD=logs dvc repro`.
"""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
from tqdm import tqdm

from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.files import Outputs, write_metrics, write_table
from similarity.embedding.model import Head, save_head, untaught_head
from similarity.errors import UserError
from similarity.layout import FEATURES, HEAD, MANIFEST, METRICS, SPLITS
from similarity.params import EmbeddingParams, Params, TrainParams

HISTORY, FIGURES = METRICS / "history.csv", METRICS / "train.json"
COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "val_map_at_r")
TENSORBOARD = "IMAGE_SIMILARITY_TENSORBOARD"
SECONDS = 1.0  # between two versions of the files while a training runs

History = dict[str, list[float]]
"""The figures of all epochs by column."""


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    check_there_is_a_part(manifest, params.embedding)
    features = load_rows(FEATURES, manifest)
    if manifest.can_teach:
        head, history = fit(features, manifest, params)
        figures = best_epoch(history, params.train)
        print(
            f"train: epoch {figures['best_epoch']} of {len(history['loss'])} is kept: validation loss "
            f"{figures['val_loss']:.4f}, accuracy {figures['val_accuracy']:.4f}; all are in {HISTORY}"
        )
    else:
        head, history, figures = untaught_head(features.shape[1], params.embedding.size), {}, {}
        classes = counted(len(manifest.classes), "class")
        print(f"train: {classes}, so there is nothing to learn: the visual part alone is used")
    save_head(head, outputs.file(HEAD))
    write_history(history, outputs)
    write_metrics(outputs.file(FIGURES), figures)


def check_there_is_a_part(manifest: Manifest, embedding: EmbeddingParams) -> None:
    """Raise a `UserError` if the embedding would have neither a class part nor a visual part."""
    if not (manifest.can_teach or (embedding.visual_size and embedding.visual_weight)):
        raise UserError(
            "without two classes there is nothing to learn, and params.yaml leaves out the visual part: set "
            "embedding.visual_size and embedding.visual_weight above 0, or put the images into class folders"
        )


def fit(features: np.ndarray, manifest: Manifest, params: Params) -> tuple[Head, History]:
    """Train the network on features, float32 (N, D), with metrics that can be watched meanwhile."""
    from similarity.embedding.training import Labeled, keras, train_network

    splits, labels = read_splits(SPLITS, manifest), manifest.labels
    rows = {split: manifest.labeled(each) for split, each in splits.items()}
    train, valid = (Labeled(features, rows[split], labels[rows[split]]) for split in ("train", "valid"))
    with watched(params.train) as end_epoch:
        callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)]
        callbacks += [keras.callbacks.TensorBoard(folder)] if (folder := tensorboard_folder()) else []
        return train_network(train, valid, len(manifest.classes), params.embedding.size, params.train, callbacks)


def tensorboard_folder() -> str | None:
    """Return the folder for TensorBoard's logs, if the environment names one and TensorBoard is installed."""
    folder = os.environ.get(TENSORBOARD)
    if folder and find_spec("tensorboard") is None:
        raise UserError(f"{TENSORBOARD} is set, but TensorBoard is not installed: pip install tensorboard")
    return folder


@contextmanager
def watched(settings: TrainParams) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Show a training while it runs; gives what is to be called with the figures at the end of each epoch.

    There is a progress bar and, if DVC runs this stage, a new version of its files about every second, so that
    `dvc exp show` and what draws the plots show the run as it goes. DVC has removed these files before, so nothing is
    lost. If the training fails, they are removed.
    """
    history: History = {name: [] for name in COLUMNS}
    is_live, written = "DVC_STAGE" in os.environ, time.monotonic()

    def end_epoch(_: int, figures: dict[str, float]) -> None:
        nonlocal written
        progress.set_postfix(val_loss=f"{figures['val_loss']:.4f}", refresh=False)
        progress.update()
        for name in COLUMNS:
            history[name].append(figures[name])
        if is_live and time.monotonic() >= written + SECONDS:
            with Outputs() as outputs:
                write_history(history, outputs)
                write_metrics(outputs.file(FIGURES), {**best_epoch(history, settings), "epoch": len(history["loss"])})
            written = time.monotonic()

    with tqdm(total=settings.epochs, desc="train", unit=" epochs", disable=None, leave=False) as progress:
        try:
            yield end_epoch
        except BaseException:
            for path in (HISTORY, FIGURES) if is_live else ():
                path.unlink(missing_ok=True)
            raise


def write_history(history: History, outputs: Outputs) -> None:
    """Write a row for each epoch; none if nothing was learned."""
    epochs = enumerate(zip(*(history.get(name, []) for name in COLUMNS), strict=True), start=1)
    rows = ([f"{value:.6g}" for value in (epoch, *figures)] for epoch, figures in epochs)
    write_table(outputs.file(HISTORY), ("epoch", *COLUMNS), rows)


def best_epoch(history: History, settings: TrainParams) -> dict[str, float]:
    """Return the metrics of the epoch that is kept, the first one of equals."""
    figure, mode = settings.best_epoch_by
    best = history[figure].index({"max": max, "min": min}[mode](history[figure]))
    return {
        "val_loss": history["val_loss"][best],
        "val_accuracy": history["val_accuracy"][best],
        "best_epoch": best + 1,
    }


if __name__ == "__main__":
    run_stage(main)
