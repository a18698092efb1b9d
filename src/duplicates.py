"""Stage `duplicates`: finds images that are there twice, with the same bytes or nearly the same pixels."""

from pipeline.inputs import load_rows
from pipeline.paths import DUPLICATES, MANIFEST, METRICS, THUMBNAILS
from pipeline.stage import counted, run_stage

from similarity.dataset.manifest import read_manifest
from similarity.duplication.detection import identical_images, near_duplicates
from similarity.duplication.pairs import write_duplicates
from similarity.files import Outputs, write_metrics
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    identical = identical_images(manifest.records)
    near = near_duplicates(load_rows(THUMBNAILS, manifest), **dict(params.duplicates))
    near_count = write_duplicates(outputs.file(DUPLICATES), manifest, identical, near)
    figures = {"identical_pairs": len(identical.first), "near_pairs": near_count}
    write_metrics(outputs.file(METRICS / "duplicates.json"), figures)
    print(
        f"duplicates: {counted(len(identical.first), 'pair')} of identical images, {near_count:,} of nearly identical "
        f"ones: {DUPLICATES}"
    )


if __name__ == "__main__":
    run_stage(main)
