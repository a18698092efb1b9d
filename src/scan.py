"""Stage `scan`: decodes every image once and lists it, or the reason why it cannot be used."""

from pipeline.paths import IMAGES, MANIFEST, METRICS, REJECTED, REJECTED_COLUMNS
from pipeline.stage import run, track
from similarity.dataset.manifest import ImageRecord, write_manifest
from similarity.dataset.scanning import Rejection, list_keys, scan_images
from similarity.errors import UserError
from similarity.files import write_metrics, write_table
from similarity.params import Params


def main(params: Params) -> None:
    keys = list_keys(IMAGES)
    if not keys:
        raise UserError(f"there are no images in {IMAGES}: run `dvc repro`, or `dvc pull` to get what others have made")
    results = list(track(scan_images(IMAGES, keys), "scan", len(keys)))
    records = [result for result in results if isinstance(result, ImageRecord)]
    rejections = [result for result in results if isinstance(result, Rejection)]
    # Written before the checks: the list is what the user needs in order to mend the data set.
    write_table(REJECTED, REJECTED_COLUMNS, rejections)
    _check(keys, records, rejections, params.scan.max_rejected)
    write_manifest(MANIFEST, records)
    figures = {
        "images": len(records),
        "classes": len({record.label for record in records}),
        "rejected": len(rejections),
        "duplicates": len(records) - len({record.sha256 for record in records}),
    }
    write_metrics(METRICS / "data.json", figures)
    print("scan: " + ", ".join(f"{count} {name}" for name, count in figures.items()))


def _check(keys: list[str], records: list[ImageRecord], rejections: list[Rejection], max_rejected: float) -> None:
    if len(rejections) > max_rejected * len(keys):
        raise UserError(
            f"{len(rejections)} of {len(keys)} images cannot be read, scan.max_rejected in params.yaml allows a share "
            f"of {max_rejected:g}; first {rejections[0].path}: {rejections[0].reason}; all are in {REJECTED}"
        )
    classes = {record.label for record in records}
    unreadable = sorted({key.split("/")[0] for key in keys} - classes)
    if unreadable:
        raise UserError(f"no image of the class {unreadable[0]!r} can be read: mend or remove its folder in the source")
    if len(classes) < 2:
        raise UserError(f"only one class, {classes.pop()!r}: at least two class folders are needed to learn from")


if __name__ == "__main__":
    run(main)
