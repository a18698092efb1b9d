"""Stage `baselines`: retrieval by colors and by pixels alone, under the protocol of `evaluate`."""

from functools import partial
from pathlib import Path

import numpy as np

from similarity.descriptors import color_histogram, thumbnail
from similarity.files import write_metrics
from similarity.images import read_image
from similarity.manifest import read_manifest, read_splits
from similarity.parallel import ordered_map
from similarity.params import EvaluateParams, Params
from similarity.retrieval import evaluate_retrieval, summarize
from stage import IMAGES, MANIFEST, METRICS, SPLITS, run, track


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    splits = read_splits(SPLITS, manifest)
    measured = np.concatenate([splits["train"], splits["test"]])
    gallery, queries = np.split(np.arange(len(measured)), [len(splits["train"])])
    labels = manifest.labels[measured]
    figures = {}
    for name, descriptors in _describe([IMAGES / manifest.keys[row] for row in measured], params.evaluate).items():
        evaluation = evaluate_retrieval(descriptors, labels, queries, gallery)
        figures[name] = summarize(evaluation.scores, labels[queries], manifest.classes)
        print(f"baselines: {name} P@10 {figures[name]['p_at_10']:.4f}")
    write_metrics(METRICS / "baselines.json", figures)


def _describe(paths: list[Path], params: EvaluateParams) -> dict[str, np.ndarray]:
    """Reads each image once; gives each baseline's descriptors, float32 (n, D)."""
    describers = {
        "color_histogram": partial(color_histogram, bins=params.histogram_bins),
        "pixels": partial(thumbnail, size=params.thumbnail_size),
    }

    def describe(path: Path) -> dict[str, np.ndarray]:
        pixels = read_image(path)
        return {name: describer(pixels) for name, describer in describers.items()}

    descriptors: dict[str, np.ndarray] = {}
    for row, described in enumerate(track(ordered_map(describe, paths), "baselines", len(paths))):
        for name, descriptor in described.items():
            if row == 0:
                descriptors[name] = np.empty((len(paths), len(descriptor)), np.float32)
            descriptors[name][row] = descriptor
    return descriptors


if __name__ == "__main__":
    run(main)
