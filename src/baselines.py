"""Stage `baselines`: retrieval by colors and by pixels alone, under the protocol of `evaluate`."""

from functools import partial

import numpy as np

from similarity.descriptors import color_histogram, thumbnail
from similarity.files import write_metrics
from similarity.images import read_image
from similarity.manifest import read_manifest, read_splits
from similarity.parallel import ordered_map
from similarity.params import Params
from similarity.retrieval import evaluate_retrieval, summarize
from stage import IMAGES, MANIFEST, METRICS, SPLITS, run, track


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    splits = read_splits(SPLITS, manifest)
    describers = {
        "color_histogram": partial(color_histogram, bins=params.evaluate.histogram_bins),
        "pixels": partial(thumbnail, size=params.evaluate.thumbnail_size),
    }

    def describe(key: str) -> list[np.ndarray]:
        pixels = read_image(IMAGES / key)
        return [describer(pixels) for describer in describers.values()]

    described = list(track(ordered_map(describe, manifest.keys), "baselines", len(manifest.keys)))
    figures = {}
    for name, descriptors in zip(describers, zip(*described, strict=True), strict=True):
        evaluation = evaluate_retrieval(np.stack(descriptors), manifest.labels, splits["test"], splits["train"])
        figures[name] = summarize(evaluation.scores, manifest.labels[splits["test"]], manifest.classes)
        print(f"baselines: {name} P@10 {figures[name]['p_at_10']:.4f}")
    write_metrics(METRICS / "baselines.json", figures)


if __name__ == "__main__":
    run(main)
