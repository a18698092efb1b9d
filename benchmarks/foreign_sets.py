"""Measures how many real images of other data sets are refused as novel, and how many of a set's own.

    python benchmarks/foreign_sets.py --output benchmarks/results/foreign_sets.md PATHS TO ARCHIVES OR FOLDERS

Each set is indexed in a clone of its own, below --work, by what is committed. All images of each other set are then
judged. Own images are the test images; the novelty limit that they are judged by was calibrated without them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from comparison import as_markdown, make_parser, publish, run_command
from data_sets import reproduce, work_folder
from similarity.data.dataset.manifest import read_manifest, read_splits
from similarity.data.evaluation.novelty import Novelty, load_novelty
from similarity.layout import DETAILS, FEATURES, MANIFEST, NOVELTY, SPLITS

GOAL_FOREIGN, GOAL_OWN = 0.85, 0.03
GOALS = f"Goals: at least {GOAL_FOREIGN} of the foreign images refused, at most {GOAL_OWN} of the own ones."
COLUMNS = ("indexed", "own refused", "of", "foreign", "refused", "of", "goals")


class Indexed(NamedTuple):
    """A data set after the pipeline.

    Attributes:
        novelty: judges what resembles nothing in the set.
        features: of all its images, float32 (n, D).
        tests: how many test images there are.
        own_refused: share of the test images that are refused.
    """

    novelty: Novelty
    features: np.ndarray
    tests: int
    own_refused: float


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("sources", nargs="+", type=Path, help="archives or folders of class folders, at least two")
    parser.add_argument("--work", type=Path, help="where the clones are, and stay (default: a temporary folder)")
    arguments = parser.parse_args()
    if len(arguments.sources) < 2:
        parser.error("at least two data sets are needed, each of which is foreign to the others")
    with work_folder(arguments.work) as work:
        sets = {source.stem: index(source.resolve(), work / source.stem) for source in arguments.sources}
        table = as_markdown(COLUMNS, rows(sets))
    publish(f"{GOALS}\n\n{table}", "Real foreign images that are refused", arguments.output)


def index(source: Path, clone: Path) -> Indexed:
    """Run the pipeline on a data set as far as it takes to judge images."""
    reproduce(source, clone, targets=["novelty"])
    tests = read_splits(clone / SPLITS, read_manifest(clone / MANIFEST))["test"]
    accepted = json.loads((clone / DETAILS / "novelty.json").read_bytes())["accepted"]
    features = np.load(clone / FEATURES, mmap_mode="r")
    return Indexed(load_novelty(clone / NOVELTY), features, len(tests), 1 - accepted)


def rows(sets: dict[str, Indexed]) -> Iterator[list[str]]:
    """Yield the rows of the table: each set, and each other one as foreign to it."""
    for name, indexed in sets.items():
        own = [name, f"{indexed.own_refused:.4f}", str(indexed.tests)]
        for other in (each for each in sets if each != name):
            features = sets[other].features
            refused = float((indexed.novelty.distances(features) > indexed.novelty.limit).mean())
            yield [*own, other, f"{refused:.4f}", str(len(features)), verdict(indexed.own_refused, refused)]


def verdict(own: float, foreign: float) -> str:
    """Name the goals that are missed."""
    missed = [name for name, fails in (("own", own > GOAL_OWN), ("foreign", foreign < GOAL_FOREIGN)) if fails]
    return f"missed: {', '.join(missed)}" if missed else "reached"


if __name__ == "__main__":
    run_command(main)
