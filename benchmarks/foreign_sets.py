"""Measures how many real images of other data sets are refused as like nothing indexed, and how many own ones are.

    python benchmarks/foreign_sets.py --output benchmarks/results/foreign_sets.md PATHS TO ARCHIVES OR FOLDERS

Each set is indexed in a clone of its own, below --work, by what is committed. All images of each other set are then
judged. Own images are the test images; the distance that they are judged by was calibrated without them. AUROC compares
their distances to all other indexed images with those of the foreign ones.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from comparison import add_output, publish
from data_sets import reproduce

sys.path.insert(0, "src")

from pipeline.paths import DUPLICATES, FEATURES, MANIFEST, METRICS, REFERENCE, SPLITS

from similarity.novelty.reference import Reference, distances_across, load_reference

from similarity.dataset.manifest import read_manifest, read_splits
from similarity.duplication.grouping import group_rows
from similarity.duplication.pairs import read_duplicates

GOAL_FOREIGN, GOAL_OWN = 0.85, 0.03
GOALS = f"Goals: at least {GOAL_FOREIGN} of the foreign images refused, at most {GOAL_OWN} of the own ones."
HEADER = "| indexed | own refused | of | foreign | refused | of | AUROC | goals |\n|---|--:|--:|---|--:|--:|--:|---|"


class Indexed(NamedTuple):
    """A data set after the pipeline.

    Attributes:
        reference: tells what is similar to anything in the set.
        features: of all its images, float32 (n, D).
        points: what the reference makes of them, float32 (n, d).
        own: distances of its test images to the nearest other image that is no duplicate, float64 (t,).
        own_refused: share of the test images that are refused.
    """

    reference: Reference
    features: np.ndarray
    points: np.ndarray
    own: np.ndarray
    own_refused: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sources", nargs="+", type=Path, help="archives or folders of class folders, at least two")
    add_output(parser)
    parser.add_argument("--work", type=Path, help="where the clones are, and stay (default: a temporary folder)")
    arguments = parser.parse_args()
    if len(arguments.sources) < 2:
        parser.error("at least two data sets are needed, each of which is foreign to the others")
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        sets = {source.stem: index(source.resolve(), work / source.stem) for source in arguments.sources}
    publish("\n".join([GOALS, "", HEADER, *rows(sets)]), "Real foreign images that are refused", arguments.output)


def index(source: Path, clone: Path) -> Indexed:
    """Runs the pipeline on a data set as far as it takes to judge images."""
    reproduce(source, clone, targets=["threshold"])
    manifest, features = read_manifest(clone / MANIFEST), np.load(clone / FEATURES)
    test = read_splits(clone / SPLITS, manifest)["test"]
    reference = load_reference(clone / REFERENCE)
    groups, points = (
        group_rows(len(features), *read_duplicates(clone / DUPLICATES, manifest)),
        reference.project(features),
    )
    own = distances_across(points[test], groups[test], points, groups)
    accepted = json.loads((clone / METRICS / "threshold.json").read_bytes())["accepted"]
    return Indexed(reference, features, points, own, 1 - accepted)


def rows(sets: dict[str, Indexed]) -> Iterator[str]:
    """The rows of the table: each set, and each other one as foreign to it."""
    for name, indexed in sets.items():
        for other in sets:
            if other == name:
                continue
            features, own, points = sets[other].features, indexed.own, indexed.points
            refused = float((indexed.reference.distances(features) > indexed.reference.max_distance).mean())
            foreign = replace(indexed.reference, points=points).distances(features)
            auroc = roc_auc_score(np.repeat([0, 1], [len(own), len(foreign)]), np.concatenate([own, foreign]))
            yield (
                f"| {name} | {indexed.own_refused:.4f} | {len(own)} | {other} | {refused:.4f} "
                f"| {len(foreign)} | {auroc:.4f} | {verdict(indexed.own_refused, refused)} |"
            )


def verdict(own: float, foreign: float) -> str:
    """Which goals are missed."""
    missed = [name for name, fails in (("own", own > GOAL_OWN), ("foreign", foreign < GOAL_FOREIGN)) if fails]
    return f"missed: {', '.join(missed)}" if missed else "reached"


if __name__ == "__main__":
    main()
