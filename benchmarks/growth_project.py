"""A project of generated images for `growth.py`, and the steps that it measures there, one per process.

`python growth_project.py make COUNT` in an empty folder, then `python growth_project.py STEP` in the same one. A step
is a stage, or one of `PARTS`. The last line that it prints has its seconds and its peak memory in 10⁶ bytes.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import yaml

from vectors import generate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from pipeline.paths import (
    BACKBONE,
    DATA,
    EMBEDDINGS,
    FEATURES,
    MANIFEST,
    PREVIEWS,
    REJECTED,
    REJECTED_COLUMNS,
    REMARKS,
    REMARKS_COLUMNS,
    THUMBNAILS,
    VARIANTS,
)
from similarity.dataset.manifest import ImageRecord, read_manifest, write_manifest
from similarity.files import Outputs, write_array, write_json_entries, write_table
from similarity.images.changes import CHANGES
from similarity.images.previews import encode_preview, open_previews
from similarity.index.inverted_index import write_inverted_index
from similarity.params import Params, load_params
from similarity.tensorflow_setup import prepare_tensorflow

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 6
FEATURE_SIZE = 256
EPOCHS = 10
NEIGHBORS = 10
PICTURE_SIZE = 28  # pixels
QUERIES = 300  # that are changed
BLOCK = 10_000


def main() -> None:
    name, *arguments = sys.argv[1:]
    if name == "make":
        make(int(arguments[0]))
        return
    step = PARTS[name] if name in PARTS else load_stage(name)
    start = time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def load_stage(name: str) -> Callable[[], None]:
    """Imports a stage's script and all that takes it long to import, and gives what the script then runs."""
    if name == "train":
        prepare_tensorflow()
        import_module("keras")
    return partial(run_stage, import_module(name).main)


def run_stage(main: Callable[[Params, Outputs], None]) -> None:
    with Outputs() as outputs:
        main(load_params(), outputs)


def make(count: int) -> None:
    """Writes what the measured stages read and none of them makes, into the working folder."""
    features = generate(count, FEATURE_SIZE)
    classes = divide(features)
    rows = np.concatenate(classes)
    labels = np.repeat(np.arange(CLASSES), [len(each) for each in classes]).tolist()
    records = [
        ImageRecord(f"class_{label}/{number:07d}.png", f"class_{label}", f"{number:064x}", PICTURE_SIZE, PICTURE_SIZE)
        for number, label in enumerate(labels)
    ]
    for folder in (DATA, BACKBONE, PREVIEWS, VARIANTS):
        folder.mkdir(parents=True)
    write_manifest(MANIFEST, records)
    write_table(REJECTED, REJECTED_COLUMNS, [])
    write_table(REMARKS, REMARKS_COLUMNS, [])
    write_array(FEATURES, [features[rows]])
    write_pixels(count)
    (BACKBONE / "backbone.json").write_text(json.dumps({"tap_features": {"generated": FEATURE_SIZE}}))
    queries = np.arange(min(count, QUERIES))
    write_array(VARIANTS / "rows.npy", [queries])
    write_array(VARIANTS / "features.npy", [np.repeat(features[rows[queries]][:, None], len(CHANGES), axis=1)])
    write_params()


def write_pixels(count: int) -> None:
    """Writes thumbnails of noise, and one preview for all images."""
    rng, preview = np.random.default_rng(0), encode_preview(np.full((PICTURE_SIZE, PICTURE_SIZE, 3), 128, np.uint8))
    shape = (PICTURE_SIZE, PICTURE_SIZE, 3)
    blocks = (rng.integers(0, 256, (min(BLOCK, count - start), *shape), np.uint8) for start in range(0, count, BLOCK))
    write_array(THUMBNAILS, blocks)
    with open_previews(PREVIEWS) as previews:
        for _ in range(count):
            previews.append(preview)


def divide(features: np.ndarray) -> list[np.ndarray]:
    """Divides rows of features into classes of equal size that a linear layer can tell apart; ascending in each."""
    direction = np.random.default_rng(0).standard_normal(features.shape[1], np.float32)
    order = np.argsort(features @ direction, kind="stable")
    return [np.sort(rows) for rows in np.array_split(order, CLASSES)]


def write_params() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"]["epochs"] = EPOCHS
    params["embedding"]["visual_taps"] = []
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def read_whole_manifest() -> None:
    """Reads the manifest and makes of it what all stages use."""
    manifest = read_manifest(MANIFEST)
    assert len(manifest.keys) == len(manifest.labels)


def write_embeddings() -> None:
    embeddings = np.load(EMBEDDINGS)
    write_json_entries(Path("embeddings.json"), zip(generated_keys(len(embeddings)), embeddings, strict=True))


def write_neighbors() -> None:
    count = len(np.load(EMBEDDINGS, mmap_mode="r"))
    rng = np.random.default_rng(0)
    rows = rng.integers(count, size=(count, NEIGHBORS))
    cosines = rng.random((count, NEIGHBORS)).round(6)
    neighbors = zip(rows, cosines, strict=True)
    write_inverted_index(Path("inverted-index.json"), generated_keys(count), neighbors)


def generated_keys(count: int) -> list[str]:
    """Keys as long as those of the manifest, which would take longer to read."""
    return [f"class_0/{number:07d}.png" for number in range(count)]


PARTS = {
    "read_manifest": read_whole_manifest,
    "write_embeddings": write_embeddings,
    "write_neighbors": write_neighbors,
}


if __name__ == "__main__":
    main()
