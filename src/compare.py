"""Compare two commits or experiments query by query: `python src/compare.py HEAD my-experiment --seeds 3`.

Both are measured with the same images, by default those that parameters are chosen with: a choice by the test images
would make their figures worthless. Trainings of the same parameters differ by chance, more than queries do; so whether
a difference is real is decided by several trainings of each, which `--seeds` queues as experiments and then reads.
"""

from pipeline.dvc_files import read_file
from pipeline.stage import run_command

import argparse
import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from similarity.data.confidence import LEVEL, paired_difference
from similarity.errors import UserError
from similarity.layout import QUERY_SCORES, QUERY_SCORES_COLUMNS

PARAMS = Path("params.yaml")
NAMES = QUERY_SCORES_COLUMNS[2:]
Scores = dict[str, list[float]]
"""The scores of each query, by its key."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="compare.py", description="Compare two models on the same images.")
    parser.add_argument("first", help="a commit, a tag, or an experiment; `workspace` is what is there now")
    parser.add_argument("second", help="likewise")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="compare N trainings of each, at least 2")
    parser.add_argument("--test", action="store_true", help="by the test images: once, after everything is chosen")
    arguments = parser.parse_args()
    revisions, split = (arguments.first, arguments.second), "test" if arguments.test else "valid"
    if arguments.seeds > 1:
        trainings = [name_trainings(revision, arguments.seeds) for revision in dict.fromkeys(revisions)]
        if queued := sum(queue_missing(*each) for each in trainings):
            print(f"{queued} trainings are queued: run `dvc queue start`, wait for `dvc queue status`, and repeat this")
            return
        scores = [[read_scores(name, split) for name in names.values()] for names, _ in trainings]
        scores = [scores[0], scores[-1]]
    else:
        scores = [[read_scores(revision, split)] for revision in revisions]
    keys = [key for key in scores[0][0] if all(key in each for model in scores for each in model)]
    if not keys:
        raise UserError(f"{arguments.first} and {arguments.second} have no labeled {split} images in common")
    arrays = [np.array([[each[key] for key in keys] for each in model]) for model in scores]
    print("\n".join(describe(revisions, split, arrays)))


def describe(revisions: tuple[str, str], split: str, scores: list[np.ndarray]) -> Iterator[str]:
    """Describe the scores of two models, each float (trainings, queries, scores), NaN where a query has none."""
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


def name_trainings(revision: str, seeds: int) -> tuple[dict[int, str], list[str]]:
    """Name the experiments that are trainings of a revision with other seeds, 1, 2, and so on.

    They have the parameters of the revision and the code of the workspace. Return their names by seed, and the options
    of `dvc exp run` that turn the parameters of the workspace into those of the revision.

    Raises:
        UserError: the revision has other code, so that its parameters are not all that differs.
    """
    commit = "HEAD" if revision == "workspace" else experiments().get(revision, revision)
    if git("diff", "--name-only", commit, "--", "src", "dvc.yaml"):
        raise UserError(f"the workspace has other code than {revision}: commit it, and compare with that commit")
    text = read_file(PARAMS, revision)
    digest = hashlib.sha256(f"{text}{git('rev-parse', 'HEAD:src')}".encode()).hexdigest()[:8]
    own = flatten(PARAMS.read_text(encoding="utf-8"))
    changes = [f"--set-param={name}={json.dumps(value)}" for name, value in flatten(text) if (name, value) not in own]
    return {seed: f"compare-{digest}-seed-{seed}" for seed in range(1, seeds + 1)}, changes


def queue_missing(names: dict[int, str], changes: list[str]) -> int:
    """Queue the trainings that there are not yet, unless they wait already, and return how many are missing."""
    missing = {seed: name for seed, name in names.items() if name not in experiments()}
    waiting = dvc("queue", "status") if missing else ""
    for seed, name in missing.items():
        if not any(name in line and "Failed" not in line for line in waiting.splitlines()):
            dvc("exp", "run", "--queue", "--quiet", f"--name={name}", *changes, f"--set-param=train.seed={seed}")
    return len(missing)


def experiments() -> dict[str, str]:
    """Return the commits of all experiments by their names."""
    lines = git("for-each-ref", "--format=%(refname:lstrip=-1) %(objectname)", "refs/exps").splitlines()
    return dict(line.split() for line in lines)


def flatten(text: str) -> list[tuple[str, object]]:
    """List the parameters of a `params.yaml` by their names with a dot."""
    sections: dict[str, dict[str, object]] = yaml.safe_load(text)
    return [(f"{section}.{name}", value) for section, values in sections.items() for name, value in values.items()]


def git(*arguments: str) -> str:
    """Return what a command of Git prints."""
    return _run("git", *arguments)


def dvc(*arguments: str) -> str:
    """Return what a command of DVC prints."""
    return _run(sys.executable, "-m", "dvc", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UserError(f"`{' '.join(command)}` failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def read_scores(revision: str, split: str) -> Scores:
    """Read the scores of the queries of one split; NaN where a query has none."""
    rows = csv.DictReader(io.StringIO(read_file(QUERY_SCORES, revision)))
    return {row["path"]: [float(row[name] or "nan") for name in NAMES] for row in rows if row["split"] == split}


if __name__ == "__main__":
    run_command(main)
