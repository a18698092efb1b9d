"""Compare two commits or experiments query by query: `python src/compare.py HEAD my-experiment --seeds 3`.

Both are measured with the same images, by default those that parameters are chosen with: a choice by the test images
would make their figures worthless. Trainings of the same parameters differ by chance, more than queries do; so whether
a difference is real is decided by several trainings of each, which `--seeds` queues as experiments and then reads.
"""

from pipeline.stage import run_command

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from similarity.errors import UserError
from similarity.layout import QUERY_SCORES, QUERY_SCORES_COLUMNS

if TYPE_CHECKING:
    import numpy as np

PARAMS = Path("params.yaml")
NAMES = QUERY_SCORES_COLUMNS[2:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="compare.py", description="Compare two models on the same images.")
    parser.add_argument("first", help="a commit, a tag, or an experiment; `workspace` is what is there now")
    parser.add_argument("second", help="likewise")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="compare N trainings of each, at least 2")
    parser.add_argument("--test", action="store_true", help="by the test images: once, after everything is chosen")
    arguments = parser.parse_args()
    revisions, split = (arguments.first, arguments.second), "test" if arguments.test else "valid"
    trainings, missing = {revision: [revision] for revision in revisions}, 0
    if arguments.seeds > 1:
        for revision in trainings:
            trainings[revision], queued = queue_trainings(revision, arguments.seeds)
            missing += queued
    if missing:
        print(f"{missing} trainings are queued: run `dvc queue start`, wait for `dvc queue status`, and repeat this")
        return
    import numpy as np

    scores = [[read_scores(name, split) for name in trainings[revision]] for revision in revisions]
    keys = sorted(set.intersection(*(set(each) for model in scores for each in model)))
    if not keys:
        raise UserError(f"{arguments.first} and {arguments.second} have no labeled {split} images in common")
    arrays = [np.array([[each[key] for key in keys] for each in model]) for model in scores]
    print("\n".join(describe(revisions, split, arrays)))


def queue_trainings(revision: str, seeds: int) -> tuple[list[str], int]:
    """Queue trainings of a revision with the seeds 1, 2, and so on, unless they have run or wait already.

    They have the parameters of the revision and the code of the workspace, and run up to the stage that measures.
    Return the names of these experiments, and how many of them have not run.

    Raises:
        UserError: the revision has other code, so that its parameters are not all that differs.
    """
    from pipeline.inputs import read_file

    import hashlib
    import json
    import subprocess

    import yaml
    from dvc.repo import Repo

    text, repo = read_file(PARAMS, revision), Repo()
    finished = {name: commit for found in repo.experiments.ls(all_commits=True).values() for name, commit in found}
    commit = "HEAD" if revision == "workspace" else finished.get(revision, revision)
    if subprocess.run(["git", "diff", "--quiet", commit, "--", "src", "dvc.yaml"], check=False).returncode:
        raise UserError(f"the workspace has other code than {revision}: commit it, and compare with that commit")
    code = subprocess.check_output(["git", "rev-parse", f"{commit}:src"], encoding="utf-8")
    digest = hashlib.sha256(f"{text}{code}".encode()).hexdigest()[:8]
    own = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    changes = [
        f"{section}.{name}={json.dumps(value, ensure_ascii=False)}"
        for section, values in yaml.safe_load(text).items()
        for name, value in values.items()
        if own[section][name] != value
    ]
    names = [f"compare-{digest}-seed-{seed}" for seed in range(1, seeds + 1)]
    status = repo.experiments.celery_queue.status()
    waiting = {entry["name"] for entry in status if entry["status"] in {"Queued", "Running"}}
    for seed, name in enumerate(names, 1):
        if name not in finished and name not in waiting:
            params = [*changes, f"train.seed={seed}"]
            repo.experiments.run(targets=["evaluate"], queue=True, name=name, params=params)
    return names, sum(name not in finished for name in names)


def read_scores(revision: str, split: str) -> dict[str, list[float]]:
    """Read the scores of the queries of one split, by key; NaN where a query has none."""
    from pipeline.inputs import read_file

    import csv
    import io

    rows = csv.DictReader(io.StringIO(read_file(QUERY_SCORES, revision)))
    return {row["path"]: [float(row[name] or "nan") for name in NAMES] for row in rows if row["split"] == split}


def describe(revisions: tuple[str, str], split: str, scores: "list[np.ndarray]") -> Iterator[str]:
    """Describe the scores of two models, each float (trainings, queries, scores), NaN where a query has none."""
    import numpy as np

    from similarity.data.confidence import LEVEL, paired_difference

    trainings, queries = scores[0].shape[:2]
    several = f", {trainings} trainings of each" if trainings > 1 else ""
    yield f"{queries} {'test' if split == 'test' else 'validation'} images{several}; {', '.join(revisions)}, difference"
    for column, name in enumerate(NAMES):
        one, other = (each[:, :, column] for each in scores)
        known = ~np.isnan(one).any(axis=0)
        one, other = one[:, known], other[:, known]
        if not known.any():
            continue
        line = f"{name:15} {one.mean():.4f} {other.mean():.4f}  {other.mean() - one.mean():+.4f}"
        if trainings > 1 and known.sum() > 1:
            found = paired_difference(one, other)
            verdict = "no difference shown" if found.p_value >= 1 - LEVEL else "a difference"
            line += f" ({found.low:+.4f} to {found.high:+.4f}), p = {found.p_value:.2g}: {verdict}"
        yield line
    if trainings == 1:
        yield "One training of each does not show whether they differ: add `--seeds 3`."


if __name__ == "__main__":
    run_command(main)
