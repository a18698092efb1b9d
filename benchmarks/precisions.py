"""What the backbone gains and loses by computing in fewer bits: bfloat16, and whole numbers of 8 bits.

    python benchmarks/precisions.py [--rounds 3] [--int8 PYTHON]

Features of all images of the data set in place, and of the changed test images, are computed in each precision from
pixels in memory; then the model is fitted to them as the pipeline does, and measured on the validation images (P@10)
and on the changed test images (the same image first). PYTHON is an interpreter with nncf and openvino installed, which
quantizes the backbone after 300 training images (nncf wants another NumPy than the pipeline has); see `quantize.py`.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from comparison import add_output, median_seconds, publish

sys.path.insert(0, "src")

from pipeline.paths import BACKBONE, IMAGES, MANIFEST, SPLITS, VARIANTS
from pipeline.stage import run_command

from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.embedding.model import EmbeddingModel
from similarity.embedding.training import Labeled, train_head
from similarity.embedding.visual_part import fit_visual_part
from similarity.evaluation.likeness import ranks_of_originals, shares_found
from similarity.evaluation.retrieval import evaluate_retrieval, mean_scores
from similarity.features.computing import load_pixels
from similarity.features.extractor import Engine, Extractor, describe, load_engines, tapped_columns
from similarity.images.decoding import read_image_file
from similarity.images.edits import EDITS, edit
from similarity.images.resizing import resize
from similarity.params import load_params
from similarity.vectors import normalize

CALIBRATION_IMAGES = 300
TIMED_IMAGES = 1000
GRAPH = BACKBONE / "graph.xml"


class Features(NamedTuple):
    """Of all images, float32 (N, D), and of the changed ones, (queries × changes, D)."""

    images: np.ndarray
    changed: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="that count; one more does not")
    parser.add_argument("--int8", metavar="PYTHON", help="an interpreter with nncf and openvino")
    add_output(parser)
    arguments = parser.parse_args()
    manifest = read_manifest(MANIFEST)
    with TemporaryDirectory() as folder:
        graphs = {"f32": (GRAPH, "f32"), "bf16": (GRAPH, "bf16")}
        if arguments.int8:
            graphs["int8"] = quantize(arguments.int8, manifest, Path(folder)), "f32"
        batch = load_params().backbone.batch_size
        engines = {
            name: load_engines(path, (batch,), precision, throughput=True)[batch]
            for name, (path, precision) in graphs.items()
        }
        lines = measure(manifest, engines, batch, arguments.rounds)
    publish("\n".join(lines), "Precisions of the backbone", arguments.output)


def measure(manifest: Manifest, engines: dict[str, Engine], batch: int, rounds: int) -> list[str]:
    pixels = np.concatenate(
        list(pixels_of(manifest, np.arange(min(TIMED_IMAGES, len(manifest.keys)) // batch * batch)))
    )
    batches = [pixels[start : start + batch] for start in range(0, len(pixels), batch)]
    seconds = median_seconds({name: partial(run, each, batches) for name, each in engines.items()}, rounds)
    features = {name: compute(manifest, engine, batch, name) for name, engine in engines.items()}
    lines = [
        "| precision | images/s | cosine to f32: lowest | mean | of embeddings | P@10, validation | same image first |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    reference = features["f32"]
    model = fit(manifest, reference.images)
    for name, each in features.items():
        cosines = (normalize(each.images) * normalize(reference.images)).sum(axis=1)
        moved = (normalize(model(each.images)) * normalize(model(reference.images))).sum(axis=1)
        p_at_10, same = judge(manifest, each)
        rate, agreement = len(pixels) / seconds[name], (cosines.min(), cosines.mean(), moved.min())
        agreed = " | ".join(f"{value:.5f}" for value in agreement)
        lines.append(f"| {name} | {rate:.0f} | {agreed} | {p_at_10:.4f} | {same:.4f} |")
    return lines


def run(engine: Engine, batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(engine.stream(batches)))


def compute(manifest: Manifest, engine: Engine, batch: int, name: str) -> Features:
    """The features of all images, and of the changes of those that the pipeline changes."""
    rows, size = np.arange(len(manifest.keys)), describe(BACKBONE)["image_size"]
    images = run_blocks(engine, tqdm(pixels_of(manifest, rows, batch), f"{name}: images", leave=False), batch)
    records = [manifest.records[row] for row in np.load(VARIANTS / "rows.npy")]
    originals = (read_image_file(IMAGES / record.path, side=size) for record in records)
    changed = (np.stack([resize(edit(pixels, each), size) for each in EDITS]) for pixels in originals)
    return Features(images, run_blocks(engine, tqdm(changed, f"{name}: changes", len(records), leave=False), batch))


def run_blocks(engine: Engine, blocks: "Iterator[np.ndarray] | tqdm", batch: int) -> np.ndarray:
    """The features of blocks of pixels of any length."""
    parts = (block[start : start + batch] for block in blocks for start in range(0, len(block), batch))
    return np.concatenate(list(Extractor(describe(BACKBONE), {batch: engine}).stream(parts)))


def pixels_of(manifest: Manifest, rows: np.ndarray, block: int = 64) -> Iterator[np.ndarray]:
    size = describe(BACKBONE)["image_size"]
    for start in range(0, len(rows), block):
        yield np.stack([load_pixels(IMAGES / manifest.keys[row], size) for row in rows[start : start + block]])


def fit(manifest: Manifest, features: np.ndarray) -> EmbeddingModel:
    """Fits both parts of the model as the stages `train` and `visual` do."""
    params, splits = load_params(), read_splits(SPLITS, manifest)
    train, valid = (Labeled(features, splits[split], manifest.labels[splits[split]]) for split in ("train", "valid"))
    epochs = train_head(train, valid, len(manifest.classes), params.embedding.size, params.train, params.base.seed)
    _, head = min(epochs, key=lambda each: each[0].val_loss)
    columns = tapped_columns(BACKBONE, params.embedding.visual_taps)
    visual = fit_visual_part(features, splits["train"], columns, params.embedding.visual_size, params.base.seed)
    return EmbeddingModel(head, visual, params.embedding.visual_weight)


def judge(manifest: Manifest, features: Features) -> tuple[float, float]:
    """P@10 of the validation images, and the share of changed images whose original comes first."""
    model, splits = fit(manifest, features.images), read_splits(SPLITS, manifest)
    embeddings = model(features.images)
    scores = evaluate_retrieval(embeddings, manifest.labels, splits["valid"], splits["train"]).scores
    originals = np.repeat(np.load(VARIANTS / "rows.npy"), len(EDITS))
    ranks = ranks_of_originals(model(features.changed), originals, embeddings, manifest.contents)
    return mean_scores(scores)["p_at_10"], shares_found(ranks)["same_image_at_1"]


def quantize(python: str, manifest: Manifest, folder: Path) -> Path:
    """Quantizes the backbone in another environment; gives the graph."""
    train = read_splits(SPLITS, manifest)["train"]
    chosen = train[np.unique(np.linspace(0, len(train) - 1, CALIBRATION_IMAGES).astype(int))]
    np.save(folder / "pixels.npy", np.concatenate(list(pixels_of(manifest, chosen))))
    script = Path(__file__).with_name("quantize.py")
    subprocess.run((python, script, GRAPH, folder / "pixels.npy", folder / "int8.xml"), check=True)
    return folder / "int8.xml"


if __name__ == "__main__":
    run_command(main)
