"""Stage `scan`: decodes every image once, and keeps what the later stages want of its pixels."""

from pipeline.stage import counted, run_stage, track

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from similarity.cluster import is_cluster_named
from similarity.dataset.manifest import ImageRecord, Manifest, write_manifest
from similarity.dataset.scanning import HISTOGRAM_BINS, THUMBNAIL_SIZE, Rejection, ScannedImage, list_keys, scan_images
from similarity.duplication.detection import identical_images, near_duplicates
from similarity.duplication.pairs import write_duplicates
from similarity.errors import DataError, UserError, list_first
from similarity.files import Outputs, open_array, read_table, replaced_file, write_metrics, write_table
from similarity.images.previews import open_previews
from similarity.images.shards import open_images
from similarity.layout import (
    DETAILS,
    IMAGES,
    LEFT_OUT,
    LEFT_OUT_COLUMNS,
    MANIFEST,
    METRICS,
    REJECTED,
    REJECTED_COLUMNS,
    REMARKS_COLUMNS,
    SCAN,
)
from similarity.params import Params

MAX_EXACT = 100_000  # images up to which near duplicates are found by comparing all with all


def main(params: Params, outputs: Outputs) -> None:
    images = open_images(IMAGES)
    keys = list_keys(images)
    if not keys:
        raise UserError(f"there are no images in {IMAGES}: run `dvc repro`, or `dvc pull` to get what others have made")
    left_out = sum(1 for _ in read_table(LEFT_OUT, LEFT_OUT_COLUMNS))
    settings, rejections = params.scan, list[Rejection]()
    scanned = scan_images(images, keys, THUMBNAIL_SIZE, HISTOGRAM_BINS, is_cluster_named())
    results = track(scanned, "scan", len(keys))
    folder = outputs.folder(SCAN)
    records, remarks = _keep_pixels(_readable(results, rejections), folder)
    _check(keys, records, rejections, settings.max_rejected)
    write_manifest(outputs.file(MANIFEST), records)
    manifest = Manifest(records)
    write_table(folder / REJECTED.name, REJECTED_COLUMNS, rejections)
    write_table(folder / "remarks.csv", REMARKS_COLUMNS, remarks)
    figures = {
        "images": len(records),
        "classes": len(manifest.classes),
        "unlabeled": len(records) - len(manifest.labeled(np.arange(len(records)))),
        "left_out": left_out,
        "rejected": len(rejections),
        "duplicates": len(records) - len({record.sha256 for record in records}),
    }
    identical = identical_images(records)
    near = near_duplicates(np.load(folder / "thumbnails.npy"), settings.min_correlation, MAX_EXACT)
    near_count = write_duplicates(folder / "duplicates.csv", manifest, identical, near)
    figures |= {"identical_pairs": len(identical.first), "near_pairs": near_count}
    write_metrics(outputs.file(METRICS / "data.json"), {"images": len(records)})
    write_metrics(outputs.file(DETAILS / "scan.json"), figures)
    print(f"scan: {'; '.join(_tell(figures))}")


def _tell(figures: dict[str, int]) -> Iterator[str]:
    unlabeled = f", {figures['unlabeled']:,} without a class" if figures["unlabeled"] else ""
    yield f"{counted(figures['images'], 'image')} in {counted(figures['classes'], 'class')}{unlabeled}"
    if copies := figures["duplicates"]:
        yield f"{copies:,} with the same bytes as another one"
    if rejected := figures["rejected"]:
        yield f"{counted(rejected, 'file')} cannot be read and left out: {REJECTED}"


def _readable(results: Iterable[ScannedImage | Rejection], rejections: list[Rejection]) -> Iterator[ScannedImage]:
    """Passes the readable images on, and collects the others."""
    for result in results:
        if isinstance(result, Rejection):
            rejections.append(result)
        else:
            yield result


def _keep_pixels(images: Iterable[ScannedImage], folder: Path) -> tuple[list[ImageRecord], list[tuple[str, str]]]:
    """Writes what is kept of the pixels while the images come in; gives their records, and what is odd about some."""
    records, remarks = [], []
    with (
        open_array(folder / "thumbnails.npy") as thumbnails,
        open_array(folder / "histograms.npy") as histograms,
        open_previews(_new_folder(folder / "previews")) as previews,
    ):
        for image in images:
            records.append(image.record)
            thumbnails.append(image.thumbnail[None])
            histograms.append(image.histogram[None])
            previews.append(image.preview)
            if image.remark:
                remarks.append((image.record.path, image.remark))
    return records, remarks


def _new_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _check(keys: list[str], records: list[ImageRecord], rejections: list[Rejection], max_rejected: float) -> None:
    if len(rejections) > max_rejected * len(keys):
        with replaced_file(REJECTED) as path:  # the list is what the user needs in order to correct the data set
            write_table(path, REJECTED_COLUMNS, rejections)
        reasons = list_first([": ".join(rejection) for rejection in rejections])
        raise UserError(
            f"{len(rejections)} of {len(keys)} images cannot be read, scan.max_rejected in params.yaml allows a share "
            f"of {max_rejected:g}: {reasons}; all are in {REJECTED}"
        )
    unreadable = sorted({key.split("/")[0] for key in keys} - {record.label for record in records})
    if unreadable:
        problems = [f"no image in the folder {folder!r} can be read" for folder in unreadable]
        raise DataError(problems, "correct or remove this in the source")


if __name__ == "__main__":
    run_stage(main)
