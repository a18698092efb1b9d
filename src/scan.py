"""Stage `scan`: look at every image once, keep what the later stages need of its pixels, and find duplicates."""

from pipeline.inputs import user_cache
from pipeline.stage import counted, run_stage, track

from collections import defaultdict
from pathlib import Path

import numpy as np

from similarity import layout
from similarity.data.dataset.duplicates import differing_pairs, identical_images, near_duplicates, write_duplicates
from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.data.dataset.scanning import KEPT, REMARKS_COLUMNS, Rejection, scan_images, scan_version
from similarity.data.files import Outputs, open_array, write_metrics, write_table
from similarity.data.images.pictures import open_previews
from similarity.data.images.wide import Ranges, find_range, write_ranges
from similarity.errors import DataError, UserError
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    keys = sorted(path.relative_to(layout.IMAGES).as_posix() for path in layout.IMAGES.glob("*/*"))
    if not keys:
        raise UserError(f"{layout.IMAGES} has no images: run `dvc repro`, or `dvc pull` to get what others have made")
    folder = outputs.folder(layout.SCAN)
    records, rejections, wide, decoded = keep_pixels(keys, {}, folder)
    ranges = {kind: find_range(kind, np.stack(levels)) for kind, levels in sorted(wide.items())}
    if ranges:  # as they are the data set's, its images have to be looked at before
        folder = outputs.folder(layout.SCAN)
        records, rejections, _, decoded = keep_pixels(keys, ranges, folder)
    check(keys, records, rejections, params.scan.max_rejected)
    manifest = Manifest(records)
    write_ranges(outputs.file(layout.RANGES), ranges)
    write_table(outputs.file(layout.MANIFEST), ImageRecord._fields, records)
    write_table(folder / layout.REJECTED.name, Rejection._fields, rejections)
    identical = identical_images(manifest.contents)
    near = near_duplicates(np.load(folder / layout.THUMBNAILS.name, mmap_mode="r"), params.scan.min_correlation)
    near = differing_pairs(near, manifest.contents)
    write_duplicates(folder / layout.DUPLICATES.name, manifest, identical, near)
    figures = {
        "images": len(records),
        "classes": len(manifest.classes),
        "unlabeled": len(records) - len(manifest.labeled(np.arange(len(records)))),
        "rejected": len(rejections),
        "duplicates": len(identical.first),
        "identical_pairs": len(identical.first),
        "near_pairs": len(near.first),
    }
    write_metrics(outputs.file(layout.METRICS / "data.json"), {"images": len(records)})
    write_metrics(outputs.file(layout.DETAILS / "scan.json"), figures)
    print(
        f"scan: {counted(len(records), 'image')} in {counted(figures['classes'], 'class')}; "
        f"{figures['duplicates']:,} with the same bytes as another one; "
        f"{counted(figures['near_pairs'], 'pair')} of near duplicates; {counted(decoded, 'image')} decoded"
    )
    if rejections:
        print(f"scan: {counted(len(rejections), 'file')} cannot be read and left out: {layout.REJECTED}")
    for kind, (black, white) in ranges.items():
        images = counted(len(wide[kind]), "image")
        print(f"scan: {images} of more than 8 bits ({kind}): {black:,g} is black and {white:,g} white in all of them")


def keep_pixels(
    keys: list[str], ranges: Ranges, folder: Path
) -> tuple[list[ImageRecord], list[Rejection], dict[str, list[np.ndarray]], int]:
    """Scan all images, and write what is kept of their pixels to a folder while they come in.

    Return the readable images, the others, the levels of those of more than 8 bits by kind, and how many were decoded.
    """
    records, rejections, remarks, decoded = list[ImageRecord](), list[Rejection](), list[tuple[str, str]](), 0
    wide = defaultdict[str, list[np.ndarray]](list)
    (folder / layout.PREVIEWS.name).mkdir()
    with (
        user_cache("scan", scan_version(ranges)) as cache,
        open_array(folder / layout.THUMBNAILS.name, KEPT["thumbnail"].shape, np.uint8) as write_thumbnail,
        open_array(folder / layout.HISTOGRAMS.name, KEPT["histogram"].shape, np.float32) as write_histogram,
        open_previews(folder / layout.PREVIEWS.name) as add_preview,
    ):
        for image in track(scan_images(layout.IMAGES, keys, cache, ranges), "scan", len(keys)):
            if isinstance(image, Rejection):
                rejections.append(image)
                continue
            write_thumbnail(len(records), image.thumbnail[None])
            write_histogram(len(records), image.histogram[None])
            records.append(image.record)
            add_preview(image.preview)
            decoded += image.is_decoded
            if image.remark:
                remarks.append((image.record.path, image.remark))
            if image.wide:
                wide[image.wide.kind].append(image.wide.levels)
    write_table(folder / layout.REMARKS.name, REMARKS_COLUMNS, remarks)
    return records, rejections, wide, decoded


def check(keys: list[str], records: list[ImageRecord], rejections: list[Rejection], max_rejected: float) -> None:
    """Refuse a data set of which too many images cannot be read, or all of a folder."""
    if len(rejections) > max_rejected * len(keys):
        share = f"scan.max_rejected in params.yaml allows a share of {max_rejected:g}"
        advice = f"{len(rejections)} of {len(keys)} images cannot be read, {share}"
        raise DataError([f"{path}: {reason}" for path, reason in rejections], advice)
    if unreadable := sorted({key.split("/")[0] for key in keys} - {record.label for record in records}):
        problems = [f"no image in the folder {folder!r} can be read" for folder in unreadable]
        raise DataError(problems, "correct or remove this in the source")


if __name__ == "__main__":
    run_stage(main)
