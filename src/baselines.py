"""Stage `baselines`: retrieval by colors and by pixels alone, under the protocol of `evaluate`.

As it has all thumbnails, it also tells which test image has nearly the same one among the training images.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.paths import IMAGES, MANIFEST, METRICS, NEAR_DUPLICATES, SPLITS
from pipeline.stage import run, track
from similarity.dataset.manifest import NEAR_DUPLICATE_COLUMNS, ImageRecord, read_manifest, read_splits
from similarity.evaluation.retrieval import evaluate_retrieval, sample_queries, summarize
from similarity.files import write_metrics, write_table
from similarity.images.decoding import read_image_file
from similarity.images.descriptors import color_histogram, contrast, thumbnail
from similarity.parallel import ordered_map
from similarity.params import EvaluateParams, Params

QUERIES_PER_BLOCK = 64


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    splits = read_splits(SPLITS, manifest)
    sample = sample_queries(
        splits["test"], manifest.labels[splits["test"]], params.evaluate.max_queries, params.base.seed
    )
    measured = np.concatenate([splits["train"], sample])
    gallery, queries = np.split(np.arange(len(measured)), [len(splits["train"])])
    labels = manifest.labels[measured]
    keys = [manifest.keys[row] for row in measured]
    figures = {}
    for name, descriptors in _describe([manifest.records[row] for row in measured], params.evaluate).items():
        evaluation = evaluate_retrieval(descriptors, labels, queries, gallery)
        figures[name] = summarize(evaluation.scores, labels[queries], manifest.classes)
        print(f"baselines: {name} P@10 {figures[name]['p_at_10']:.4f}")
        if name == "pixels":
            pairs = _most_alike(descriptors, queries, evaluation.nearest)
            rows = ((keys[query], keys[other], f"{value:.6f}") for query, other, value in pairs)
            write_table(NEAR_DUPLICATES, NEAR_DUPLICATE_COLUMNS, rows)
    write_metrics(METRICS / "baselines.json", figures)


def _most_alike(thumbnails: np.ndarray, queries: np.ndarray, nearest: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Gives each query with the one of its nearest, int64 (n, 10), that it correlates with most, and how much."""
    for start in range(0, len(queries), QUERIES_PER_BLOCK):
        rows, candidates = (each[start : start + QUERIES_PER_BLOCK] for each in (queries, nearest))
        values = np.einsum("nd,nmd->nm", contrast(thumbnails[rows]), contrast(thumbnails[candidates]))
        best = values.argmax(axis=1)
        picked = np.arange(len(rows)), best
        yield from zip(rows.tolist(), candidates[picked].tolist(), values[picked].tolist(), strict=True)


def _describe(records: list[ImageRecord], params: EvaluateParams) -> dict[str, np.ndarray]:
    """Reads each image once; gives each baseline's descriptors, float32 (n, D)."""
    describers = {
        "color_histogram": partial(color_histogram, bins=params.histogram_bins),
        "pixels": partial(thumbnail, size=params.thumbnail_size),
    }

    def describe(record: ImageRecord) -> dict[str, np.ndarray]:
        pixels = read_image_file(IMAGES / record.path, record.sha256)
        return {name: describer(pixels) for name, describer in describers.items()}

    descriptors: dict[str, np.ndarray] = {}
    with threadpool_limits(limits=1, user_api="blas"):  # `describe` runs in as many threads as there are cores
        for row, described in enumerate(track(ordered_map(describe, records), "baselines", len(records))):
            for name, descriptor in described.items():
                if row == 0:
                    descriptors[name] = np.empty((len(records), len(descriptor)), np.float32)
                descriptors[name][row] = descriptor
    return descriptors


if __name__ == "__main__":
    run(main)
