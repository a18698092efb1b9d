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
from similarity.findings.images import principal_components
from similarity.findings.labels import ask_neighbors, draw_folds, judge_labels
from similarity.layout import FEATURES, MANIFEST

SHARE, SEEDS, COMPONENTS, WRONG = 0.03, 3, 256, 0.5
COLUMNS = ("set", "exchanged", "called wrong", "precision", "recall", "called wrong with no label exchanged")


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    table = as_markdown(COLUMNS, map(row, arguments.folders))
    publish(table, "Exchanged labels that the audit finds", arguments.output)


def row(folder: Path) -> list[str]:
    labels, features = read_manifest(folder / MANIFEST).labels, np.load(folder / FEATURES, mmap_mode="r")
    components = principal_components(features, COMPONENTS, 0)
    clean = f"{len(called_wrong(features, components, labels, 0))} of {len(labels)}"
    exchanged, called, precision, recall = np.mean(list(trials(features, components, labels)), axis=0)
    return [folder.name, f"{exchanged:.0f}", f"{called:.0f}", f"{precision:.3f}", f"{recall:.3f}", clean]


def trials(features: np.ndarray, components: np.ndarray, truth: np.ndarray) -> Iterator[tuple[float, ...]]:
    classes = int(truth.max()) + 1
    for seed in range(SEEDS):
        rng, labels = np.random.default_rng(seed), truth.copy()
        exchanged = rng.choice(len(truth), int(SHARE * len(truth)), replace=False)
        labels[exchanged] = (labels[exchanged] + rng.integers(1, classes, len(exchanged))) % classes
        found = called_wrong(features, components, labels, seed)
        hits = len(np.intersect1d(found, exchanged))
        yield len(exchanged), len(found), hits / max(1, len(found)), hits / len(exchanged)


def called_wrong(features: np.ndarray, components: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Find the rows whose labels the audit calls wrong: by the classifier and by the neighbors."""
    rows = np.arange(len(labels))
    judgement = judge_labels(components, labels, draw_folds(labels, rows, seed))
    doubted = np.flatnonzero(judgement.wrong >= WRONG)
    if not len(doubted):
        return doubted
    asked = ask_neighbors(features, rows, labels, rows, doubted, judgement.suggested[doubted])
    return doubted[asked.suggested > asked.own]


if __name__ == "__main__":
    run_command(main)
