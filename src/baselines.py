"""Stage `baselines`: what colors and pixels alone give under the protocol of `evaluate`, and the bare features.

None of it depends on the training, so that no experiment with it computes this again.
"""

from pipeline.inputs import load_rows, load_variants
from pipeline.paths import FEATURES, HISTOGRAMS, MANIFEST, METRICS, SPLITS, THUMBNAILS
from pipeline.stage import run_stage, track

from functools import partial
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.evaluation.likeness import Prepare, ranks_of_originals, shares_found
from similarity.evaluation.retrieval import evaluate_retrieval, mean_scores, sample_queries
from similarity.files import Outputs, write_metrics
from similarity.images.descriptors import centered_pixels
from similarity.params import Params
from similarity.vectors import standardization


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    histograms, thumbnails, features = (load_rows(path, manifest) for path in (HISTOGRAMS, THUMBNAILS, FEATURES))
    mean, scale = standardization(features)
    baselines: dict[str, tuple[np.ndarray, Prepare]] = {
        "color_histogram": (histograms, np.asarray),
        "pixels": (thumbnails, centered_pixels),
    }
    protocol = _protocol(manifest, params)
    figures = {
        name: (_retrieve(vectors, prepare, protocol) if protocol else {})
        | _find_changed(name, vectors, prepare, manifest)
        for name, (vectors, prepare) in baselines.items()
    }
    figures["features"] = _find_changed("features", features, lambda rows: (rows - mean) / scale, manifest)
    write_metrics(outputs.file(METRICS / "baselines.json"), figures)
    for name, values in figures.items():
        print(f"baselines: {name}: " + ", ".join(f"{figure} {value:.4f}" for figure, value in values.items()))


class _Protocol(NamedTuple):
    """The class indices of all images, int (n,), and which rows of the manifest are queries and gallery, int64."""

    labels: np.ndarray
    queries: np.ndarray
    gallery: np.ndarray


def _protocol(manifest: Manifest, params: Params) -> _Protocol | None:
    """The protocol of `evaluate`, unless there are no classes to tell apart."""
    if not manifest.can_teach:
        return None
    splits = {split: manifest.labeled(rows) for split, rows in read_splits(SPLITS, manifest).items()}
    labels, test = manifest.labels, splits["test"]
    queries = sample_queries(test, labels[test], params.evaluate.max_queries, params.base.seed)
    return _Protocol(labels, queries, splits["train"])


def _retrieve(vectors: np.ndarray, prepare: Prepare, protocol: _Protocol) -> dict[str, float]:
    """Scores the retrieval of training images by test images, with descriptors of all images, (n, …)."""
    progress = partial(track, label="baselines", unit=" blocks")
    return mean_scores(evaluate_retrieval(vectors, *protocol, progress, prepare).scores)


def _find_changed(name: str, vectors: np.ndarray, prepare: Prepare, manifest: Manifest) -> dict[str, float]:
    """Looks for the originals of changed test images, by descriptors of all, (n, …)."""
    originals, changed = load_variants(name, manifest)
    progress = partial(track, label=f"baselines: {name}", unit=" blocks")
    ranks = ranks_of_originals(changed, originals, vectors, prepare, manifest.contents, progress)
    return shares_found(ranks)


if __name__ == "__main__":
    run_stage(main)
