"""Stage `train`: fits the embedding and the classifier to the training images, and keeps the best epoch."""

import numpy as np
from tqdm import tqdm

from similarity.files import replaced_file, write_metrics, write_table
from similarity.head import Epoch, Labeled, classify, embed, save_head, train_head
from similarity.manifest import read_manifest, read_splits
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow
from stage import FEATURES, HEAD, MANIFEST, METRICS, SPLITS, run


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    features, labels = np.load(FEATURES, mmap_mode="r"), manifest.labels
    parts = {split: Labeled(features[rows], labels[rows]) for split, rows in read_splits(SPLITS, manifest).items()}
    prepare_tensorflow()
    history: list[Epoch] = []
    steps = train_head(
        parts["train"], parts["valid"], len(manifest.classes), params.embedding.size, params.train, params.base.seed
    )
    with tqdm(steps, "train", params.train.epochs, unit=" epochs", disable=None, leave=False) as progress:
        for epoch, head in progress:
            if not history or epoch.val_loss < min(past.val_loss for past in history):
                best, best_head = epoch, head
            history.append(epoch)
            progress.set_postfix(val_loss=f"{epoch.val_loss:.4f}", best=best.epoch)
    test = parts["test"]
    hits = classify(embed(test.features, best_head), best_head) == test.labels
    with replaced_file(HEAD) as path:
        save_head(best_head, path)
    write_table(METRICS / "history.csv", Epoch._fields, ([f"{value:.6g}" for value in epoch] for epoch in history))
    figures = {
        "val_loss": best.val_loss,
        "val_accuracy": best.val_accuracy,
        "test_accuracy": hits.mean(),
        "best_epoch": best.epoch,
    }
    write_metrics(METRICS / "train.json", figures)
    print("train: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


if __name__ == "__main__":
    run(main)
