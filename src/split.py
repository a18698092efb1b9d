"""Stage `split`: decides which images train, validate and test."""

from collections import Counter

from similarity.manifest import read_manifest, write_splits
from similarity.params import Params
from similarity.splitting import split_images
from stage import MANIFEST, SPLITS, run


def main(params: Params) -> None:
    manifest = read_manifest(MANIFEST)
    splits = split_images(manifest.records, params.split.valid, params.split.test, params.base.seed)
    write_splits(SPLITS, manifest.keys, splits)
    print("split: " + ", ".join(f"{count} {name}" for name, count in sorted(Counter(splits).items())))


if __name__ == "__main__":
    run(main)
