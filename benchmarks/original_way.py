"""What the original's way of computing costs, measured on a small sample and multiplied openly, and what ours costs.

    python benchmarks/stage_times.py > /tmp/ours.md
    python benchmarks/original_way.py --ours /tmp/ours.md    # two minutes; needs models/backbone

The original is one Keras script. It trains a 32-d embedding on top of a frozen ResNet50 at 224 pixels for 100 epochs,
each with 10,000 training and 10,000 validation images, a third of the data set each, which all go through the whole
network every time. Then it embeds every image by a `predict` of its own, calls scikit-learn's `cosine_similarity` for
every ordered pair of embeddings, and builds an Annoy index again after every item that it adds. All that is written
again here from its description, with random weights, which take as long as trained ones. In its favor, nothing else is
counted: no decoding, no gradients, no sorting, no searching of the Annoy index. The stages' times have all of it.

The pipeline's network is another by default, and far cheaper. So each step is also counted with that network, run as
the pipeline runs it, and with a dot product of NumPy per pair. What then is left is saved by the order of computation
alone: each image goes through the network once, in batches; blocks of pairs are one product of matrices; the Annoy
index is built once.
"""

from pipeline.inputs import load_params

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from annoy import AnnoyIndex
from sklearn.metrics.pairwise import cosine_similarity

from comparison import Row, as_markdown, as_table, make_parser, median_seconds, publish, run_command
from similarity.data.features.extractor import Extractor, load_extractor
from similarity.layout import BACKBONE
from vectors import generate

EPOCHS = 100
IMAGE_SIZE = 224  # pixels
ROUNDS = 3
BUILDS = 8  # of the Annoy index that are measured, at sizes spread evenly from none to all images


class Seconds(NamedTuple):
    """What one unit of each step takes: a forward pass in a batch, one by itself, a pair, a build of average size."""

    batched: float
    single: float
    pair: float
    build: float


class Step(NamedTuple):
    """One step of the original.

    Attributes:
        name: what it does.
        seconds: per unit.
        units: how many there are.
        stages: those of the pipeline that do the same.
    """

    name: str
    seconds: float
    units: int
    stages: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds of the whole step."""
        return self.seconds * self.units


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--sample", type=int, default=100, help="images that are measured (default: 100)")
    parser.add_argument("--images", type=int, default=29_998, help="that it is multiplied to (default: 29998)")
    parser.add_argument("--ours", type=Path, metavar="FILE", help="what stage_times.py printed for as many images")
    arguments = parser.parse_args()
    images, sample = arguments.images, arguments.sample
    extractor = load_extractor(BACKBONE, (sample, 1))
    original, cheaper = measure(extractor, sample, images)
    network = f"{load_params().backbone.name} at {extractor.image_size} pixels and NumPy"
    ways = {
        f"the original, with ResNet50 at {IMAGE_SIZE} pixels and scikit-learn": original_steps(original, images),
        f"its algorithm, with {network}": original_steps(cheaper, images),
    }
    parts = [f"{images:,} images, extrapolated from {sample}; medians of {ROUNDS} rounds"]
    for name, steps in ways.items():
        parts += [f"What is multiplied for {name}:", steps_table(steps)]
    if arguments.ours:
        stage_seconds = read_stage_seconds(arguments.ours)
        for name, steps in ways.items():
            parts += [f"Ours compared with {name}:", as_table(compare(steps, stage_seconds))]
    publish("\n\n".join(parts), "The original's way of computing", arguments.output)


def measure(extractor: Extractor, sample: int, images: int) -> tuple[Seconds, Seconds]:
    """Measure the original's units with its own network and cosine, and with the pipeline's and NumPy's."""
    resnet, embeddings = build_resnet50(), generate(images)
    rng = np.random.default_rng(0)
    large, small = (
        255 * rng.random((sample, size, size, 3), np.float32) for size in (IMAGE_SIZE, extractor.image_size)
    )
    indexes = [fill_index(embeddings[: round((i + 0.5) * images / BUILDS)]) for i in range(BUILDS)]
    contenders: dict[str, Callable[[], object]] = {
        "resnet50, batched": lambda: resnet.predict_on_batch(large),
        "resnet50, single": lambda: one_by_one(partial(resnet.predict, verbose=0), large),
        "ours, batched": lambda: extractor(small),
        "ours, single": lambda: one_by_one(extractor, small),
        "scikit-learn": lambda: compare_pairs(scikit_learn_cosine, embeddings[:sample]),
        "numpy": lambda: compare_pairs(numpy_cosine, embeddings[:sample]),
        "annoy": lambda: build_each(indexes, load_params().ann.trees),
    }
    took = median_seconds(contenders, ROUNDS)

    def per_unit(network: str, cosine: str) -> Seconds:
        batched, single = took[f"{network}, batched"] / sample, took[f"{network}, single"] / sample
        return Seconds(batched, single, took[cosine] / pairs(sample), took["annoy"] / BUILDS)

    return per_unit("resnet50", "scikit-learn"), per_unit("ours", "numpy")


def build_resnet50() -> Any:
    """Build the original's frozen network, from pixels to 2,048 features, without its weights."""
    from keras.applications import ResNet50

    return ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3))


def one_by_one(network: Callable[[np.ndarray], object], pixels: np.ndarray) -> None:
    """Run a network on pixels, float32 (n, size, size, 3), an image per call."""
    for image in pixels:
        network(image[None])


def pairs(count: int) -> int:
    """Count the ordered pairs of different images."""
    return count * (count - 1)


def compare_pairs(cosine: Callable[[np.ndarray, np.ndarray], float], embeddings: np.ndarray) -> None:
    """Compute the cosine of every embedding, of (n, d), to every other one."""
    for i, embedding in enumerate(embeddings):
        for j, other in enumerate(embeddings):
            if i != j:
                cosine(embedding, other)


def scikit_learn_cosine(one: np.ndarray, other: np.ndarray) -> float:
    return cosine_similarity(one.reshape(1, -1), other.reshape(1, -1))[0, 0]


def numpy_cosine(one: np.ndarray, other: np.ndarray) -> float:
    return np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other))


def fill_index(embeddings: np.ndarray) -> AnnoyIndex:
    """Fill an index that is not built yet."""
    index = AnnoyIndex(embeddings.shape[1], "angular")
    for row, embedding in enumerate(embeddings):
        index.add_item(row, embedding)
    return index


def build_each(indexes: Sequence[AnnoyIndex], trees: int) -> None:
    for index in indexes:
        index.build(trees)
        index.unbuild()  # today's Annoy refuses to build twice


def original_steps(seconds: Seconds, images: int) -> list[Step]:
    passes = EPOCHS * round(images * 2 / 3)
    return [
        Step("forward passes of all epochs", seconds.batched, passes, ("backbone", "featurize", "train")),
        Step("embedding, an image per call", seconds.single, images, ("embed",)),
        Step("cosine, a pair per call", seconds.pair, pairs(images), ("neighbors",)),
        Step("Annoy, a build per item", seconds.build, images, ("ann",)),
    ]


def steps_table(steps: Sequence[Step]) -> str:
    rows = [[step.name, f"{1000 * step.seconds:.4g}", f"{step.units:,}", duration(step.total)] for step in steps]
    rows.append(["all", "", "", duration(sum(step.total for step in steps))])
    return as_markdown(["step", "ms per unit", "units", "product"], rows)


def duration(seconds: float) -> str:
    """Format seconds in the unit that reads best."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def read_stage_seconds(path: Path) -> dict[str, float]:
    """Read the seconds by stage from the table that `stage_times.py` prints."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", path.read_text(encoding="utf-8"), re.MULTILINE)
    if not rows:
        sys.exit(f"error: {path} has no table of stage_times.py")
    return {name: float(seconds) for name, seconds in rows}


def compare(steps: Sequence[Step], stage_seconds: Mapping[str, float]) -> list[Row]:
    """Compare each step with the stages that do the same, and all of them."""
    ours = [sum(stage_seconds[stage] for stage in step.stages) for step in steps]
    names = [f"{step.name}; " + ", ".join(f"`{stage}`" for stage in step.stages) for step in steps]
    names, ours, peer = [*names, "all"], [*ours, sum(ours)], [step.total for step in steps]
    return [
        Row(name, duration(own), duration(other), own / other)
        for name, own, other in zip(names, ours, [*peer, sum(peer)], strict=True)
    ]


if __name__ == "__main__":
    run_command(main)
