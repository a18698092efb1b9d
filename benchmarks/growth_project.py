"""A project of generated images for `growth.py`, and the steps that it measures there, one per process.

`python growth_project.py make COUNT` in an empty folder, then `python growth_project.py STEP` in the same one. A step
is a stage, or one of `PARTS`. The last line that it prints has its seconds and its peak memory in 10⁶ bytes.
"""

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from vectors import generate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from pipeline.paths import EMBEDDINGS, FEATURES, IMAGES, MANIFEST
from similarity.dataset.manifest import ImageRecord, read_manifest, write_manifest
from similarity.files import write_array, write_json_entries
from similarity.index.inverted_index import write_inverted_index
from similarity.params import load_params
from similarity.tensorflow_setup import prepare_tensorflow

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 6
FEATURE_SIZE = 256
EMBEDDING_SIZE = 32
EPOCHS = 10
NEIGHBORS = 10
PICTURE_SIZE = 28  # pixels


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
    return partial(import_module(name).main, load_params())


def make(count: int) -> None:
    """Writes what the stages from `split` on read, into the working folder."""
    features = generate(count, FEATURE_SIZE)
    classes = divide(features)
    rows = np.concatenate(classes)
    labels = np.repeat(np.arange(CLASSES), [len(each) for each in classes]).tolist()
    records = [
        ImageRecord(f"class_{label}/{number:07d}.png", f"class_{label}", f"{number:064x}", PICTURE_SIZE, PICTURE_SIZE)
        for number, label in enumerate(labels)
    ]
    write_manifest(MANIFEST, records)
    write_array(FEATURES, [features[rows]])
    write_array(EMBEDDINGS, [generate(count, EMBEDDING_SIZE)])
    write_params()
    link_pictures(records)


def divide(features: np.ndarray) -> list[np.ndarray]:
    """Divides rows of features into classes of equal size that a linear layer can tell apart; ascending in each."""
    direction = np.random.default_rng(0).standard_normal(features.shape[1], np.float32)
    order = np.argsort(features @ direction, kind="stable")
    return [np.sort(rows) for rows in np.array_split(order, CLASSES)]


def write_params() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"]["epochs"] = EPOCHS
    params["embedding"]["size"] = EMBEDDING_SIZE
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def link_pictures(records: list[ImageRecord]) -> None:
    """Puts one picture in the place of all, of which `evaluate` draws a few."""
    picture = Path("picture.png")
    Image.new("RGB", (PICTURE_SIZE, PICTURE_SIZE), "gray").save(picture)
    for label in sorted({record.label for record in records}):
        (IMAGES / label).mkdir(parents=True)
    target = Path("../../..") / picture
    for record in records:
        (IMAGES / record.path).symlink_to(target)


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
