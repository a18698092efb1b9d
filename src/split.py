"""Stage `split`: decides which images train, validate and test."""

from pipeline.paths import DUPLICATES, MANIFEST, METRICS, SPLITS
from pipeline.problems import listing_problems
from pipeline.stage import run_stage

import numpy as np

from similarity.dataset.manifest import SPLIT_NAMES, read_manifest, write_splits
from similarity.dataset.splitting import split_images
from similarity.duplication.grouping import bounded_groups, group_rows
from similarity.duplication.pairs import read_duplicates
from similarity.files import Outputs, write_metrics
from similarity.params import Params


@listing_problems()
def main(params: Params, outputs: Outputs) -> None:
    manifest, settings = read_manifest(MANIFEST), params.split
    identical, near = read_duplicates(DUPLICATES, manifest)
    groups = group_rows(len(manifest.records), identical)
    if settings.group_near_duplicates:
        groups = bounded_groups(manifest, identical, near, len(SPLIT_NAMES))
    splits = split_images(manifest, groups, settings.valid, settings.test, params.base.seed)
    write_splits(outputs.file(SPLITS), manifest.keys, splits)
    split_of = np.array(splits)
    figures = {
        **{name: splits.count(name) for name in SPLIT_NAMES},
        "near_duplicates_across_splits": int((split_of[near.first] != split_of[near.second]).sum()),
    }
    write_metrics(outputs.file(METRICS / "splits.json"), figures)
    print("split: " + ", ".join(f"{count} {name}" for name, count in figures.items()))


if __name__ == "__main__":
    run_stage(main)
