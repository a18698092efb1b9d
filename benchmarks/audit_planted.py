"""How many exchanged labels the audit finds, and how much of what it calls wrong was exchanged.

    python benchmarks/audit_planted.py --output benchmarks/results/audit_planted.md FOLDERS

Each folder is a clone in which the pipeline has run, as `benchmarks/data_sets.py --work` leaves them. 3 % of the labels
are exchanged at random, with three seeds; what was wrong before counts as a false alarm.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from comparison import add_output, publish
from similarity.dataset.manifest import read_manifest
from similarity.findings.images import principal_components
from similarity.findings.labels import draw_folds, judge_labels

SHARE, SEEDS, COMPONENTS, WRONG = 0.03, 3, 256, 0.5
HEADER = (
    "| set | exchanged | called wrong | precision | recall | called wrong with no label exchanged |\n"
    "|---|--:|--:|--:|--:|--:|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    add_output(parser)
    arguments = parser.parse_args()
    publish(
        "\n".join([HEADER, *map(row, arguments.folders)]), "Exchanged labels that the audit finds", arguments.output
    )


def row(folder: Path) -> str:
    labels = read_manifest(folder / "data/manifest.csv").labels
    components = principal_components(np.load(folder / "data/features.npy", mmap_mode="r"), COMPONENTS, 0)
    clean = f"{(judge(components, labels, 0) > WRONG).sum()} of {len(labels)}"
    exchanged, called, precision, recall = np.mean(list(trials(components, labels)), axis=0)
    return f"| {folder.name} | {exchanged:.0f} | {called:.0f} | {precision:.3f} | {recall:.3f} | {clean} |"


def trials(components: np.ndarray, truth: np.ndarray) -> Iterator[tuple[float, ...]]:
    classes = int(truth.max()) + 1
    for seed in range(SEEDS):
        rng, labels = np.random.default_rng(seed), truth.copy()
        exchanged = rng.choice(len(truth), int(SHARE * len(truth)), replace=False)
        labels[exchanged] = (labels[exchanged] + rng.integers(1, classes, len(exchanged))) % classes
        found = np.flatnonzero(judge(components, labels, seed) > WRONG)
        hits = len(np.intersect1d(found, exchanged))
        yield len(exchanged), len(found), hits / max(1, len(found)), hits / len(exchanged)


def judge(components: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    return judge_labels(components, labels, draw_folds(labels, np.arange(len(labels)), seed)).wrong


if __name__ == "__main__":
    main()
