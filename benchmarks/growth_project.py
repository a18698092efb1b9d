"""A project of generated images for `growth.py`, and the steps that it measures there, one per process.

`python growth_project.py make COUNT` in an empty folder, then `python growth_project.py STEP` in the same one. A step
is a stage, or one of `PARTS`. The last line that it prints has its seconds and its peak memory in 10⁶ bytes.
"""

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from pipeline.paths import EMBEDDINGS, MANIFEST

from similarity.dataset.manifest import read_manifest
from similarity.files import Outputs, write_json_entries
from similarity.index.inverted_index import write_inverted_index
from similarity.params import Params, load_params

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 6
EPOCHS = 10
NEIGHBORS = 10
PICTURE_SIZE = 28  # pixels
BACKBONE_SIZE = 32  # pixels
SOURCE = Path("source")


def main() -> None:
    name, *arguments = sys.argv[1:]
    if name == "make":
        make(int(arguments[0]))
        return
    os.environ["IMAGE_SIMILARITY_CACHE_GB"] = "0"
    step = PARTS[name] if name in PARTS else partial(run_stage, import_module(name).main)
    start = time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def run_stage(main: Callable[[Params, Outputs], None]) -> None:
    with Outputs() as outputs:
        main(load_params(), outputs)


def make(count: int) -> None:
    """Writes images of noise, of one color or another, and the parameters."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (SOURCE / f"class_{label}").mkdir(parents=True)
    for number in range(count):
        noise = rng.normal(rng.uniform(60, 200, 3), 40, (PICTURE_SIZE, PICTURE_SIZE, 3))
        picture = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
        picture.save(SOURCE / f"class_{number % CLASSES}" / f"{number:07d}.jpg")
    shutil.copytree(ROOT / "data/changes", "data/changes")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["source"] = str(SOURCE)
    params["backbone"]["image_size"] = BACKBONE_SIZE
    params["train"]["epochs"] = EPOCHS
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
    return [f"class_0/{number:07d}.jpg" for number in range(count)]


PARTS = {
    "read_manifest": read_whole_manifest,
    "write_embeddings": write_embeddings,
    "write_neighbors": write_neighbors,
}


if __name__ == "__main__":
    main()
