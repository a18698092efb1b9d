"""Stage `split`: decides which images train, validate and test."""

from collections import Counter

from pipeline.paths import MANIFEST, SPLITS
from pipeline.stage import run
from similarity.dataset.manifest import read_manifest, write_splits
from similarity.dataset.splitting import split_images
from similarity.params import Params


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    splits = split_images(manifest.records, params.split.valid, params.split.test, params.base.seed)
    write_splits(SPLITS, manifest.keys, splits)
    print("split: " + ", ".join(f"{count} {name}" for name, count in sorted(Counter(splits).items())))


if __name__ == "__main__":
    run(main)
