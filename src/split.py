"""Stage `split`: decide which images are for training, validation and testing."""

from pipeline.stage import counted, run_stage

from similarity.data.dataset.duplicates import bounded_groups, differing_pairs, read_duplicates
from similarity.data.dataset.manifest import SPLIT_NAMES, read_given_splits, read_manifest, write_splits
from similarity.data.dataset.splitting import complete_splits
from similarity.data.files import Outputs, write_metrics
from similarity.layout import DETAILS, DUPLICATES, GIVEN_SPLITS, MANIFEST, SPLITS
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings = read_manifest(MANIFEST), params.split
    identical, near = read_duplicates(DUPLICATES, manifest)
    groups = bounded_groups(manifest, identical, near, len(SPLIT_NAMES))
    given = read_given_splits(GIVEN_SPLITS, manifest) if settings.keep_given else [""] * len(groups)
    splits = complete_splits(manifest, given, groups, settings.valid, settings.test, params.base.seed)
    write_splits(outputs.file(SPLITS), manifest.keys, splits)
    parted, nearly_parted = (len(differing_pairs(pairs, splits).first) for pairs in (identical, near))
    figures = {
        **{name: splits.count(name) for name in SPLIT_NAMES},
        "given": sum(map(bool, given)),
        "identical_across_splits": parted,
        "near_duplicates_across_splits": nearly_parted,
    }
    write_metrics(outputs.file(DETAILS / "split.json"), figures)
    print(
        f"split: {counted(figures['train'], 'image')} to learn from, {figures['valid']:,} to choose by, "
        f"{figures['test']:,} to measure with"
    )
    if any(given):
        drawn = sorted({split for split, kept in zip(splits, given, strict=True) if split != kept})
        print("split: kept those that the source gives" + (f"; drawn for others: {', '.join(drawn)}" if drawn else ""))
    if pairs := parted + nearly_parted:
        print(f"split: {counted(pairs, 'pair')} of identical or nearly identical images are in two splits")


if __name__ == "__main__":
    run_stage(main)
