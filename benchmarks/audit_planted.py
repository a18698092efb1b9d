"""How many exchanged labels the audit finds, and how much of what it calls wrong was exchanged.

    python benchmarks/audit_planted.py --output benchmarks/results/audit_planted.md FOLDERS

Each folder is a clone in which the pipeline has run, as `benchmarks/data_sets.py --work` leaves them. 3 % of the labels
are exchanged at random, with three seeds; what was wrong before counts as a false alarm.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from comparison import as_markdown, make_parser, publish, run_command
from similarity.data.dataset.manifest import read_manifest
from similarity.detection import (
    DOUBTFUL,
    draw_folds,
    judge_labels,
    nearest_labels,
    principal_components,
    weigh,
)  # fmt: skip
from similarity.layout import FEATURES, MANIFEST

SHARE, SEEDS, COMPONENTS = 0.03, 3, 256
KINDS = ("wrong", "wrong or doubtful")
COLUMNS = ("set", "exchanged", "called", "precision", "recall", "called with no label exchanged")


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    table = as_markdown(COLUMNS, [row for folder in arguments.folders for row in rows(folder)])
    publish(table, "Exchanged labels that the audit finds", arguments.output)


def rows(folder: Path) -> Iterator[list[str]]:
    labels, features = read_manifest(folder / MANIFEST).labels, np.load(folder / FEATURES, mmap_mode="r")
    components = principal_components(features, COMPONENTS, 0)
    clean = doubts(features, components, labels, 0)
    measured = np.mean(list(trials(features, components, labels)), axis=0)
    for kind, found, (exchanged, called, precision, recall) in zip(KINDS, clean, measured, strict=True):
        figures = f"{exchanged:.0f}", f"{called:.0f}", f"{precision:.3f}", f"{recall:.3f}"
        yield [f"{folder.name}, {kind}", *figures, f"{len(found)} of {len(labels)}"]


def trials(features: np.ndarray, components: np.ndarray, truth: np.ndarray) -> Iterator[list[tuple[float, ...]]]:
    classes = int(truth.max()) + 1
    for seed in range(SEEDS):
        rng, labels = np.random.default_rng(seed), truth.copy()
        exchanged = rng.choice(len(truth), int(SHARE * len(truth)), replace=False)
        labels[exchanged] = (labels[exchanged] + rng.integers(1, classes, len(exchanged))) % classes
        yield [
            (len(exchanged), len(found), np.isin(found, exchanged).mean(), np.isin(exchanged, found).mean())
            for found in doubts(features, components, labels, seed)
        ]


def doubts(
    features: np.ndarray, components: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows whose labels the audit calls wrong, and those that it calls wrong or doubtful."""
    rows = np.arange(len(labels))
    wrong, suggested = judge_labels(components, labels, draw_folds(labels, rows, seed))
    doubted = np.flatnonzero(wrong >= DOUBTFUL)
    nearest = nearest_labels(features, rows, labels, rows, doubted)
    own, other = ((nearest == each[doubted, None]).sum(axis=1) for each in (labels, suggested))
    kinds = weigh(wrong[doubted], own, other, len(labels))
    return doubted[kinds == "wrong_label"], doubted[kinds != ""]


if __name__ == "__main__":
    run_command(main)
