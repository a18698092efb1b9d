"""Stage `split`: decide which images are for training, validation and testing."""

from pipeline.stage import counted, run_stage

from similarity.data.dataset.duplicates import bounded_groups, differing_pairs, read_duplicates
from similarity.data.dataset.manifest import SPLIT_COLUMNS, SPLIT_NAMES, read_given_splits, read_manifest
from similarity.data.dataset.splitting import complete_splits
from similarity.data.files import Outputs, write_table
from similarity.layout import DUPLICATES, GIVEN_SPLITS, MANIFEST, SPLITS
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings = read_manifest(MANIFEST), params.split
    identical, near = read_duplicates(DUPLICATES, manifest)
    groups = bounded_groups(manifest, identical, near, len(SPLIT_NAMES))
    given = read_given_splits(GIVEN_SPLITS, manifest) if settings.keep_given else [""] * len(groups)
    splits = complete_splits(manifest, given, groups, settings.valid, settings.test, params.base.seed)
    write_table(outputs.file(SPLITS), SPLIT_COLUMNS, zip(manifest.keys, splits, strict=True))
    parted, nearly_parted = (len(differing_pairs(pairs, splits).first) for pairs in (identical, near))
    train, valid, test = map(splits.count, SPLIT_NAMES)
    print(f"split: {train:,} training, {valid:,} validation and {test:,} test images")
    if any(given):
        drawn = sorted({split for split, kept in zip(splits, given, strict=True) if split != kept})
        print("split: kept those that the source gives" + (f"; drawn for others: {', '.join(drawn)}" if drawn else ""))
    if parted or nearly_parted:
        print(f"split: identical images in two splits: {counted(parted, 'pair')}; near duplicates: {nearly_parted:,}")


if __name__ == "__main__":
    run_stage(main)
