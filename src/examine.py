"""Stage `examine`: looks for what is probably wrong with the images and their labels, whatever the embedding.

That takes minutes, so it depends on no parameter of the training: an experiment need not wait for it.
"""

from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.paths import EXAMINED, FEATURES, IMAGES, MANIFEST, REJECTED, REJECTED_COLUMNS, SPLITS
from pipeline.stage import run, track
from similarity.dataset.manifest import ImageRecord, Manifest, read_manifest, read_splits
from similarity.files import read_table, write_table
from similarity.findings.auditing import (
    Doubts,
    Pairs,
    distances,
    doubt_labels,
    draw_folds,
    far_out,
    group,
    near_duplicates,
    oddity,
)
from similarity.findings.finding import Audited, Finding
from similarity.images.decoding import read_image_file
from similarity.images.descriptors import contrast, thumbnail
from similarity.parallel import ordered_map
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow


def main(params: Params) -> None:
    manifest, features = read_manifest(MANIFEST), np.load(FEATURES, mmap_mode="r")
    audited = Audited(manifest, read_splits(SPLITS, manifest))
    contrasts, remarks = _look_at(manifest.records, params.evaluate.thumbnail_size)
    pairs = near_duplicates(contrasts, params.evaluate.near_duplicate)
    doubts = _doubt(features, manifest, pairs, params)
    apart = distances(features, params.base.seed)
    outliers = sorted(np.flatnonzero(far_out(apart)).tolist(), key=lambda row: -apart[row])
    rejected = list(read_table(REJECTED, REJECTED_COLUMNS))
    findings = [
        *_duplicates(audited, pairs),
        *_labels(audited, doubts),
        *(audited.find("outlier", row, apart[row], "distance to its ten nearest") for row in outliers),
        *(Finding("unreadable", path, path.split("/")[0], *("",) * 6, reason) for path, reason in rejected),
        *(audited.find("odd", row, 0, remark) for row, remark in enumerate(remarks) if remark),
    ]
    write_table(EXAMINED, Finding._fields, findings)
    print(f"examine: {len(findings)} findings")


def _look_at(records: list[ImageRecord], size: int) -> tuple[np.ndarray, list[str]]:
    """Reads each image once: the contrast of its thumbnail, float32 (n, size · size · 3), and what is odd about it."""
    usual_side = float(np.median([(record.width * record.height) ** 0.5 for record in records]))
    usual_ratio = float(np.median([record.width / record.height for record in records]))

    def look_at(record: ImageRecord) -> tuple[np.ndarray, str]:
        pixels = read_image_file(IMAGES / record.path, record.sha256)
        return contrast(thumbnail(pixels, size)), oddity(pixels, usual_side, usual_ratio)

    contrasts, remarks = np.empty((len(records), size * size * 3), np.float32), []
    with threadpool_limits(limits=1, user_api="blas"):  # `look_at` runs in as many threads as there are cores
        for row, (small, remark) in enumerate(track(ordered_map(look_at, records), "look", len(records))):
            contrasts[row] = small
            remarks.append(remark)
    return contrasts, remarks


def _doubt(features: np.ndarray, manifest: Manifest, pairs: Pairs, params: Params) -> Doubts:
    """Judges the labels; nearly the same images share a fold, so that none is learned from its double."""
    prepare_tensorflow()
    same = _identical(manifest)
    groups = group(
        len(features),
        np.concatenate([pairs.first, [one for one, _ in same]]).astype(np.int64),
        np.concatenate([pairs.second, [other for _, other in same]]).astype(np.int64),
    )
    folds = draw_folds(manifest.labels, groups, params.audit.folds, params.base.seed)
    return doubt_labels(
        features, manifest.labels, folds, params.audit.epochs, params.base.seed,
        lambda numbers: track(numbers, "examine", unit=" folds"),
    )  # fmt: skip


def _identical(manifest: Manifest) -> list[tuple[int, int]]:
    """Each image that has the bytes of one before it, after that one, by their rows."""
    first: dict[str, int] = {}
    rows = enumerate(record.sha256 for record in manifest.records)
    return [(first[digest], row) for row, digest in rows if first.setdefault(digest, row) != row]


def _duplicates(audited: Audited, pairs: Pairs) -> Iterator[Finding]:
    """The identical and the nearly identical images; first those of different classes, then of different splits."""
    identical = _identical(audited.manifest)
    digests = [record.sha256 for record in audited.manifest.records]
    found = [audited.find("duplicate", row, 1, "the same bytes", other) for other, row in identical]
    near = [
        audited.find("near_duplicate", row, value, "correlation of the thumbnails", other)
        for other, row, value in zip(*(each.tolist() for each in pairs), strict=True)
        if digests[row] != digests[other]
    ]
    for kind in (found, near):
        yield from sorted(kind, key=_harmlessness)


def _harmlessness(finding: Finding) -> tuple[bool, bool, float]:
    return not finding.crosses_classes, not finding.crosses_splits, -float(finding.score)


def _labels(audited: Audited, doubts: Doubts) -> Iterator[Finding]:
    """The labels that classifier and neighbors take for wrong, then those that only one of them does."""
    both = doubts.by_classifier & doubts.by_neighbors
    one = doubts.by_classifier ^ doubts.by_neighbors
    classes = audited.manifest.classes
    for finding, chosen in (("wrong_label", both), ("doubtful_label", one)):
        rows = np.flatnonzero(chosen)
        for row in rows[np.argsort(doubts.confidence[rows], kind="stable")].tolist():
            reason = f"probability of the label; {doubts.agreement[row]:.0%} of the nearest images have it"
            suggested = classes[doubts.suggested[row]]
            yield audited.find(finding, row, doubts.confidence[row], reason, suggested=suggested)


if __name__ == "__main__":
    run(main)
