"""Compare two commits or experiments query by query: `python src/compare.py HEAD my-experiment`.

Both are measured with the same test images, so the difference of each pair says more than two separate intervals.
"""

from pipeline.dvc_files import read_file
from pipeline.stage import run_command

import argparse
import csv
import io

import numpy as np

from similarity.data.confidence import LEVEL, paired_difference
from similarity.errors import UserError
from similarity.layout import QUERY_SCORES, QUERY_SCORES_COLUMNS


def main() -> None:
    parser = argparse.ArgumentParser(prog="compare.py", description="Compare two models on the same test images.")
    parser.add_argument("first", help="a commit, a tag, or an experiment; `workspace` is what is there now")
    parser.add_argument("second", help="likewise")
    arguments = parser.parse_args()
    first, second = (read_scores(revision) for revision in (arguments.first, arguments.second))
    keys = [key for key in first if key in second]
    if not keys:
        raise UserError(f"{arguments.first} and {arguments.second} have no labeled test images in common")
    print(f"{len(keys)} test images; {arguments.first}, {arguments.second}, difference with its {LEVEL:.0%} interval")
    for column, name in enumerate(QUERY_SCORES_COLUMNS[1:]):
        one, other = (np.array([scores[key][column] for key in keys]) for scores in (first, second))
        difference = paired_difference(one, other, seed=0)
        print(
            f"{name:9} {one.mean():.4f} {other.mean():.4f}  {difference.mean:+.4f} "
            f"({difference.low:+.4f} to {difference.high:+.4f}), p = {difference.p_value:.2g}"
        )


def read_scores(revision: str) -> dict[str, list[float]]:
    """Read the scores of each query, by its key."""
    rows = csv.DictReader(io.StringIO(read_file(QUERY_SCORES, revision)))
    return {row["path"]: [float(row[name]) for name in QUERY_SCORES_COLUMNS[1:]] for row in rows}


if __name__ == "__main__":
    run_command(main)
