"""Stage `threshold`: from which cosine on an image is similar to another, and how well that tells foreign ones."""

import numpy as np

from pipeline.paths import EMBEDDER, EMBEDDINGS, MANIFEST, METRICS, SPLITS, THRESHOLD
from pipeline.stage import run_stage, track
from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.embedding.embedder import load_embedder
from similarity.evaluation.retrieval import sample_queries
from similarity.files import Outputs, write_metrics
from similarity.generated.foreign import KINDS, draw_foreign
from similarity.images.resizing import resize
from similarity.index.exact import highest_cosines
from similarity.params import Params
from similarity.vectors import normalize

MAX_QUERIES = 10_000
IMAGES_PER_KIND = 50
BATCH_SIZE = 10
LONGEST_SIDE = 512  # pixels


def main(params: Params, outputs: Outputs) -> None:
    from sklearn.metrics import roc_auc_score

    manifest, units = read_manifest(MANIFEST), normalize(np.load(EMBEDDINGS))
    splits, seed = read_splits(SPLITS, manifest), params.base.seed
    gallery = units[splits["train"]]
    valid, test = (
        highest_cosines(
            units[sample_queries(splits[split], manifest.labels[splits[split]], MAX_QUERIES, seed)], gallery
        )
        for split in ("valid", "test")
    )
    threshold = float(np.quantile(valid, 1 - params.threshold.accepted, method="lower"))
    foreign = {kind: highest_cosines(embedded, gallery) for kind, embedded in _embed_foreign(manifest, seed).items()}
    cosines = np.concatenate(list(foreign.values()))
    auroc = roc_auc_score(np.repeat([1, 0], [len(test), len(cosines)]), np.concatenate([test, cosines]))
    write_metrics(outputs.file(THRESHOLD), {"cosine": threshold})
    figures = {
        "cosine": threshold,
        "accepted": (test >= threshold).mean(),
        "refused": (cosines < threshold).mean(),
        "auroc": auroc,
    }
    refused = {kind: (values < threshold).mean() for kind, values in foreign.items()}
    write_metrics(outputs.file(METRICS / "threshold.json"), {**figures, "refused_per_kind": refused})
    print("threshold: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))


def _embed_foreign(manifest: Manifest, seed: int) -> dict[str, np.ndarray]:
    """The embeddings at length 1 of some images of each kind, float32 (n, E), of the data set's usual size."""
    embedder = load_embedder(EMBEDDER, [BATCH_SIZE])
    sides = [min(record.width, record.height) for record in manifest.records]
    size = int(np.clip(np.median(sides), 16, LONGEST_SIDE))
    return {
        kind: normalize(
            embedder(
                np.stack(
                    [
                        resize(draw_foreign(kind, number, size, seed), embedder.extractor.image_size)
                        for number in range(IMAGES_PER_KIND)
                    ]
                )
            )
        )
        for kind in track(KINDS, "threshold", unit=" kinds")
    }


if __name__ == "__main__":
    run_stage(main)
