"""Stage `train`: fit the embedding and the classifier to the labeled training images, and keep the best epoch.

The network is `build_network` in `similarity/embedding/training.py`. To follow a training in TensorBoard, name a folder
for its logs: `IMAGE_SIMILARITY_TENSORBOARD=logs dvc repro`.
"""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

import os
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.evaluation.retrieval import hold_out_classes
from similarity.data.files import Outputs, replaced_file, write_arrays, write_metrics, write_table
from similarity.embedding.model import Head, save_head
from similarity.errors import UserError
from similarity.layout import FEATURES, HEAD, HISTORY, MANIFEST, METRICS, NOVEL_CLASSES, SPLITS
from similarity.params import Params, TrainParams

COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "val_map_at_r")
TENSORBOARD = "IMAGE_SIMILARITY_TENSORBOARD"
ALL_EPOCHS, LEAST_SHARE = 500, 1 / 6  # images per class up to which all epochs are run; share of them that always is
NOVEL_CLASSES_EPOCHS, NOVEL_CLASSES_SHOWN = 20, 20_000  # passes and images shown at most: three trainings in seconds

History = dict[str, list[float]]
"""The figures of all epochs by column."""


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    if not manifest.can_teach and not (params.embedding.visual_size and params.embedding.visual_weight):
        raise UserError(
            "without two classes there is nothing to learn, and params.yaml leaves out the visual part: set "
            "embedding.visual_size and embedding.visual_weight above 0, or put the images into class folders"
        )
    features = load_rows(FEATURES, manifest)
    history: History = {}
    figures: dict[str, float] = {}
    novel: list[Head] = []
    if manifest.can_teach:
        splits = {name: manifest.labeled(rows) for name, rows in read_splits(SPLITS, manifest).items()}
        head, history = fit(features, manifest, splits, params)
        novel = fit_without_some_classes(features, manifest, splits, params)
        figures = best_epoch(history, *params.train.best_epoch_by)
        print(
            f"train: epoch {figures['best_epoch']} of {len(history['loss'])} is kept: validation loss "
            f"{figures['val_loss']:.4f}, accuracy {figures['val_accuracy']:.4f}; all are in {HISTORY}"
        )
    else:
        shapes = (features.shape[1], 0), (0,), (0, 1), (1,)
        head = Head(*(np.zeros(shape, np.float32) for shape in shapes))
        classes = counted(len(manifest.classes), "class")
        print(f"train: {classes}, so there is nothing to learn: the visual part alone is used")
    save_head(head, outputs.file(HEAD))
    weights = {"kernels": [each.kernel for each in novel], "biases": [each.bias for each in novel]}
    write_arrays(outputs.file(NOVEL_CLASSES), weights)
    write_history(history, outputs.file(HISTORY))
    write_metrics(outputs.file(METRICS / "train.json"), figures)


def fit(
    features: np.ndarray, manifest: Manifest, splits: dict[str, np.ndarray], params: Params
) -> tuple[Head, History]:
    """Train the network on features, float32 (N, D); the history is written after each epoch, to be watched."""
    from similarity.embedding.training import Labeled, keras, train_network

    train, valid = (Labeled(features, splits[name], manifest.labels[splits[name]]) for name in ("train", "valid"))
    epochs = count_epochs(params.train, len(train.rows) / len(manifest.classes))
    settings = params.train.model_copy(update={"epochs": epochs})
    history: History = {name: [] for name in COLUMNS}

    def end_epoch(_: int, figures: dict[str, float]) -> None:
        progress.set_postfix(val_loss=f"{figures['val_loss']:.4f}", refresh=False)
        progress.update()
        for name in COLUMNS:
            history[name].append(figures[name])
        with replaced_file(HISTORY) as path:
            write_history(history, path)

    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)]
    if folder := os.environ.get(TENSORBOARD):
        callbacks.append(keras.callbacks.TensorBoard(folder))
    with tqdm(total=epochs, desc="train", unit=" epochs", disable=None, leave=False) as progress:
        return train_network(train, valid, len(manifest.classes), params.embedding.size, settings, callbacks)


def fit_without_some_classes(
    features: np.ndarray, manifest: Manifest, splits: dict[str, np.ndarray], params: Params
) -> list[Head]:
    """Train in short on the other classes of each fold, for `evaluate` to search among those held out."""
    from similarity.embedding.training import Labeled, train_network

    most, heads = min(params.train.epochs, NOVEL_CLASSES_EPOCHS), list[Head]()
    folds = hold_out_classes(manifest.labels, len(manifest.classes), splits)
    for fold in track(folds, "train: novel classes", unit=" trainings"):
        known = np.setdiff1d(np.arange(len(manifest.classes)), manifest.labels[fold.novel])
        train, valid = (
            Labeled(features, rows, np.searchsorted(known, manifest.labels[rows]).astype(np.int32))
            for rows in (fold.train, fold.valid)
        )
        epochs = min(most, -(-NOVEL_CLASSES_SHOWN // len(train.rows)))
        settings = params.train.model_copy(update={"epochs": epochs})
        heads.append(train_network(train, valid, len(known), params.embedding.size, settings, measure_all=False)[0])
    return heads


def count_epochs(settings: TrainParams, images: float) -> int:
    """Count the passes over the training images, for a mean number of these per class.

    With the schedule `cosine`, classes of more than 500 are seen as often as those of 500, or a sixth of the epochs.
    """
    if settings.schedule == "constant":  # as in the original
        return settings.epochs
    return max(1, round(settings.epochs * max(LEAST_SHARE, min(1, ALL_EPOCHS / images))))


def write_history(history: History, path: Path) -> None:
    """Write a row for each epoch; none if nothing was learned."""
    epochs = enumerate(zip(*(history.get(name, []) for name in COLUMNS), strict=True), start=1)
    rows = ([f"{value:.6g}" for value in (epoch, *figures)] for epoch, figures in epochs)
    write_table(path, ("epoch", *COLUMNS), rows)


def best_epoch(history: History, figure: str, mode: Literal["max", "min"]) -> dict[str, float]:
    """Return the metrics of the epoch that is kept: the first one of equals in a figure of the history."""
    best = history[figure].index({"max": max, "min": min}[mode](history[figure]))
    return {
        "val_loss": history["val_loss"][best],
        "val_accuracy": history["val_accuracy"][best],
        "best_epoch": best + 1,
    }


if __name__ == "__main__":
    run_stage(main)
