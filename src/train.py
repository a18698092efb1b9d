"""Stage `train`: fits the embedding and the classifier to the training images, and keeps the best epoch."""

import numpy as np
from tqdm import tqdm

from pipeline.paths import FEATURES, HEAD, MANIFEST, METRICS, SPLITS
from pipeline.stage import run
from similarity.dataset.manifest import read_manifest, read_splits
from similarity.embedding.head import Epoch, Head, Labeled, class_logits, embed, save_head, train_head
from similarity.errors import UserError
from similarity.evaluation.intervals import mean_interval
from similarity.evaluation.retrieval import evaluate_retrieval, mean_scores, sample_queries
from similarity.files import replaced_file, write_metrics, write_table
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow

MAX_QUERIES = 10_000


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    features, labels = np.load(FEATURES, mmap_mode="r"), manifest.labels
    splits = read_splits(SPLITS, manifest)
    train, valid = (Labeled(features[splits[split]], labels[splits[split]]) for split in ("train", "valid"))
    prepare_tensorflow()
    history, best, head = _fit(train, valid, len(manifest.classes), params)
    retrieval = _validate_retrieval(features, labels, splits, head, params.base.seed)
    predicted = class_logits(embed(features[splits["test"]], head), head, params.train.loss).argmax(axis=1)
    correct = (predicted == labels[splits["test"]]).astype(float)
    figures = {
        "val_loss": best.val_loss,
        "val_accuracy": best.val_accuracy,
        **{f"val_{name}": value for name, value in retrieval.items()},
        "test_accuracy": correct.mean(),
        "best_epoch": best.epoch,
    }
    with replaced_file(HEAD) as path:
        save_head(head, path)
    write_table(METRICS / "history.csv", Epoch._fields, ([f"{value:.6g}" for value in epoch] for epoch in history))
    intervals = {"test_accuracy": mean_interval(correct, params.base.seed)._asdict()}
    write_metrics(METRICS / "train.json", {**figures, "intervals": intervals})
    print("train: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def _validate_retrieval(
    features: np.ndarray, labels: np.ndarray, splits: dict[str, np.ndarray], head: Head, seed: int
) -> dict[str, float]:
    """Scores the retrieval of training images by validation images: what models are chosen by, never by test images."""
    queries = sample_queries(splits["valid"], labels[splits["valid"]], MAX_QUERIES, seed)
    embeddings = np.zeros((len(labels), len(head.bias)), np.float32)
    for rows in (queries, splits["train"]):
        embeddings[rows] = embed(features[rows], head)
    scores = evaluate_retrieval(embeddings, labels, queries, splits["train"]).scores
    return mean_scores(scores, np.ones(len(queries), bool))


def _fit(train: Labeled, valid: Labeled, classes: int, params: Params) -> tuple[list[Epoch], Epoch, Head]:
    """Trains for all epochs; gives every epoch's figures, and those and the head of the lowest validation loss."""
    history: list[Epoch] = []
    best: tuple[Epoch, Head] | None = None
    steps = train_head(train, valid, classes, params.embedding.size, params.train, params.base.seed)
    with tqdm(steps, "train", params.train.epochs, unit=" epochs", disable=None, leave=False) as progress:
        for epoch, head in progress:
            if not np.isfinite([epoch.loss, epoch.val_loss]).all():
                raise UserError(
                    f"training diverged in epoch {epoch.epoch}: lower train.lr in params.yaml, now {params.train.lr:g}"
                )
            if best is None or epoch.val_loss < best[0].val_loss:
                best = epoch, head
            history.append(epoch)
            progress.set_postfix(val_loss=f"{epoch.val_loss:.4f}", best=best[0].epoch)
    assert best is not None  # there is at least one epoch
    return history, *best


if __name__ == "__main__":
    run(main)
