"""Stage `train`: fits the embedding and the classifier to the labeled training images, and keeps the best epoch."""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage
from pipeline.watching import WatchedFiles

from functools import partial

import numpy as np
from tqdm import tqdm

from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.embedding.head import Head, save_head, untaught_head
from similarity.embedding.training import Epoch, Labeled, train_head
from similarity.errors import UserError
from similarity.files import Outputs, write_metrics, write_table
from similarity.layout import FEATURES, HEAD, MANIFEST, METRICS, SPLITS
from similarity.params import EmbeddingParams, Params

HISTORY, FIGURES = METRICS / "history.csv", METRICS / "train.json"


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    _check_there_is_a_part(manifest, params.embedding)
    features, labels = load_rows(FEATURES, manifest), manifest.labels
    splits = {split: manifest.labeled(rows) for split, rows in read_splits(SPLITS, manifest).items()}
    if not manifest.can_teach:
        save_head(untaught_head(features.shape[1], params.embedding.size), outputs.file(HEAD))
        _write_figures([], {}, outputs)
        classes = counted(len(manifest.classes), "class")
        print(f"train: {classes}, so there is nothing to learn: the visual part alone is used")
        return
    train, valid = (Labeled(features, splits[split], labels[splits[split]]) for split in ("train", "valid"))
    history, best, head = _fit(train, valid, len(manifest.classes), params)
    figures = _figures(best)
    save_head(head, outputs.file(HEAD))
    _write_figures(history, figures, outputs)
    print(
        f"train: epoch {best.epoch} of {len(history)} is the best: validation loss {best.val_loss:.4f}, accuracy "
        f"{best.val_accuracy:.4f}; all are in {HISTORY}"
    )


def _check_there_is_a_part(manifest: Manifest, embedding: EmbeddingParams) -> None:
    if not (manifest.can_teach or (embedding.visual_size and embedding.visual_weight)):
        raise UserError(
            "without two classes there is nothing to learn, and params.yaml leaves out the visual part: set "
            "embedding.visual_size and embedding.visual_weight above 0, or put the images into class folders"
        )


def _figures(best: Epoch) -> dict[str, float]:
    return {"val_loss": best.val_loss, "val_accuracy": best.val_accuracy, "best_epoch": best.epoch}


def _write_figures(history: list[Epoch], figures: dict[str, float], outputs: Outputs) -> None:
    rows = ([f"{value:.6g}" for value in epoch] for epoch in history)
    write_table(outputs.file(HISTORY), Epoch._fields, rows)
    write_metrics(outputs.file(FIGURES), figures)


def _fit(train: Labeled, valid: Labeled, classes: int, params: Params) -> tuple[list[Epoch], Epoch, Head]:
    """Trains for all epochs; gives every epoch's figures, and those and the head of the lowest validation loss."""
    history: list[Epoch] = []
    best: tuple[Epoch, Head] | None = None
    steps = train_head(train, valid, classes, params.embedding.size, params.train, params.base.seed)
    with (
        np.errstate(over="ignore", divide="ignore", invalid="ignore"),  # told below
        WatchedFiles(HISTORY, FIGURES) as watched,
        tqdm(steps, "train", params.train.epochs, unit=" epochs", disable=None, leave=False) as progress,
    ):
        for epoch, head in progress:
            if not np.isfinite([epoch.loss, epoch.val_loss]).all():
                raise UserError(
                    f"training diverged in epoch {epoch.epoch}: lower train.lr in params.yaml, now {params.train.lr:g}"
                )
            if best is None or epoch.val_loss < best[0].val_loss:
                best = epoch, head
            history.append(epoch)
            watched.update(partial(_write_figures, history, {**_figures(best[0]), "epoch": epoch.epoch}))
            progress.set_postfix(val_loss=f"{epoch.val_loss:.4f}", best=best[0].epoch)
    assert best is not None  # there is at least one epoch
    return history, *best


if __name__ == "__main__":
    run_stage(main)
