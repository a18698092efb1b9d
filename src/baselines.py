"""Stage `baselines`: retrieval by colors and by pixels alone, under the protocol of `evaluate`."""

import numpy as np

from pipeline.paths import HISTOGRAMS, MANIFEST, METRICS, SPLITS, THUMBNAILS
from pipeline.stage import run_stage, track
from similarity.dataset.manifest import read_manifest, read_splits
from similarity.evaluation.retrieval import evaluate_retrieval, mean_scores, sample_queries
from similarity.files import Outputs, write_metrics
from similarity.images.descriptors import centered_pixels
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    splits, labels = read_splits(SPLITS, manifest), manifest.labels
    sample = sample_queries(splits["test"], labels[splits["test"]], params.evaluate.max_queries, params.base.seed)
    measured = np.concatenate([splits["train"], sample])
    gallery, queries = np.split(np.arange(len(measured)), [len(splits["train"])])
    descriptors = {
        "color_histogram": np.load(HISTOGRAMS, mmap_mode="r")[measured],
        "pixels": centered_pixels(np.load(THUMBNAILS, mmap_mode="r")[measured]),
    }
    figures = {}
    for name, vectors in descriptors.items():
        scores = evaluate_retrieval(
            vectors, labels[measured], queries, gallery, lambda blocks: track(blocks, "baselines", unit=" blocks")
        ).scores
        figures[name] = mean_scores(scores)
        print(f"baselines: {name} P@10 {figures[name]['p_at_10']:.4f}")
    write_metrics(outputs.file(METRICS / "baselines.json"), figures)


if __name__ == "__main__":
    run_stage(main)
