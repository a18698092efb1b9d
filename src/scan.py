"""Stage `scan`: looks at every image once, keeps what the later stages need of its pixels, and finds duplicates."""

from pipeline.inputs import user_cache
from pipeline.stage import counted, run_stage, track

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from similarity.data.cluster import is_cluster_named
from similarity.data.dataset.duplicates import differing_pairs, identical_images, near_duplicates, write_duplicates
from similarity.data.dataset.manifest import ImageRecord, Manifest, write_manifest
from similarity.data.dataset.scanning import (
    REMARKS_COLUMNS,
    Rejection,
    ScannedImage,
    list_keys,
    scan_images,
    scan_images_on_cluster,
    scan_version,
)
from similarity.data.files import Outputs, open_array, replaced_file, write_metrics, write_table
from similarity.data.images.previews import open_previews
from similarity.errors import DataError, UserError, list_first
from similarity.layout import (
    DETAILS,
    DUPLICATES,
    HISTOGRAMS,
    IMAGES,
    MANIFEST,
    METRICS,
    PREVIEWS,
    REJECTED,
    REMARKS,
    SCAN,
    THUMBNAILS,
)
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    keys = list_keys(IMAGES)
    if not keys:
        raise UserError(f"there are no images in {IMAGES}: run `dvc repro`, or `dvc pull` to get what others have made")
    folder = outputs.folder(SCAN)
    records, rejections, decoded = _keep_pixels(track(_scan(keys), "scan", len(keys)), folder)
    _check(keys, records, rejections, params.scan.max_rejected)
    manifest = Manifest(records)
    write_manifest(outputs.file(MANIFEST), records)
    write_table(folder / REJECTED.name, Rejection._fields, rejections)
    identical = identical_images(records)
    near = near_duplicates(np.load(folder / THUMBNAILS.name, mmap_mode="r"), params.scan.min_correlation)
    near = differing_pairs(near, manifest.contents)
    write_duplicates(folder / DUPLICATES.name, manifest, identical, near)
    figures = {
        "images": len(records),
        "classes": len(manifest.classes),
        "unlabeled": len(records) - len(manifest.labeled(np.arange(len(records)))),
        "rejected": len(rejections),
        "duplicates": len(records) - len({record.sha256 for record in records}),
        "identical_pairs": len(identical.first),
        "near_pairs": len(near.first),
    }
    write_metrics(outputs.file(METRICS / "data.json"), {"images": len(records)})
    write_metrics(outputs.file(DETAILS / "scan.json"), figures)
    print(f"scan: {'; '.join(_describe(figures))}; {counted(decoded, 'image')} decoded")


def _scan(keys: list[str]) -> Iterator[ScannedImage | Rejection]:
    if is_cluster_named():
        yield from scan_images_on_cluster(IMAGES, keys)
        return
    with user_cache("scan", scan_version()) as cache:
        yield from scan_images(IMAGES, keys, cache)


def _describe(figures: dict[str, int]) -> Iterator[str]:
    unlabeled = f", {figures['unlabeled']:,} without a class" if figures["unlabeled"] else ""
    yield f"{counted(figures['images'], 'image')} in {counted(figures['classes'], 'class')}{unlabeled}"
    if copies := figures["duplicates"]:
        yield f"{copies:,} with the same bytes as another one"
    if near := figures["near_pairs"]:
        yield f"{counted(near, 'pair')} of near duplicates"
    if rejected := figures["rejected"]:
        yield f"{counted(rejected, 'file')} cannot be read and left out: {REJECTED}"


def _keep_pixels(
    results: Iterable[ScannedImage | Rejection], folder: Path
) -> tuple[list[ImageRecord], list[Rejection], int]:
    """Write what is kept of the pixels to a folder while the images come in.

    Return the records of the readable images, the others, and the number of those that were decoded.
    """
    records, rejections, plain, decoded = list[ImageRecord](), list[Rejection](), list[str](), 0
    (folder / PREVIEWS.name).mkdir()
    with (
        open_array(folder / THUMBNAILS.name) as add_thumbnail,
        open_array(folder / HISTOGRAMS.name) as add_histogram,
        open_previews(folder / PREVIEWS.name) as add_preview,
    ):
        for image in results:
            if isinstance(image, Rejection):
                rejections.append(image)
                continue
            records.append(image.record)
            add_thumbnail(image.thumbnail[None])
            add_histogram(image.histogram[None])
            add_preview(image.preview)
            decoded += image.is_decoded
            if image.is_plain:
                plain.append(image.record.path)
    write_table(folder / REMARKS.name, REMARKS_COLUMNS, [(key, "nearly one color") for key in plain])
    return records, rejections, decoded


def _check(keys: list[str], records: list[ImageRecord], rejections: list[Rejection], max_rejected: float) -> None:
    if len(rejections) > max_rejected * len(keys):
        with replaced_file(REJECTED) as path:  # the list is what the user needs in order to correct the data set
            write_table(path, Rejection._fields, rejections)
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
