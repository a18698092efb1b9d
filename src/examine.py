"""Stage `examine`: looks for what is probably wrong with the images and their labels, whatever the embedding.

That takes minutes, so it depends on no parameter of the training: an experiment need not wait for it.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.paths import (
    DUPLICATES,
    EXAMINED,
    FEATURES,
    MANIFEST,
    REJECTED,
    REJECTED_COLUMNS,
    REMARKS,
    REMARKS_COLUMNS,
    SPLITS,
)
from pipeline.stage import run_stage, track
from similarity.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.duplication.grouping import group_rows
from similarity.duplication.pairs import Pairs, read_duplicates
from similarity.files import Outputs, read_table, write_table
from similarity.findings.auditing import (
    Doubts,
    distances,
    doubt_labels,
    draw_folds,
    far_out,
    oddity,
)
from similarity.findings.finding import Audited, Finding
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow


def main(params: Params, outputs: Outputs) -> None:
    manifest, features = read_manifest(MANIFEST), np.load(FEATURES, mmap_mode="r")
    audited = Audited(manifest, read_splits(SPLITS, manifest))
    remarks = _remarks(manifest)
    identical, near = read_duplicates(DUPLICATES, manifest)
    doubts = _doubt(features, manifest, group_rows(len(features), identical, near), params)
    apart = distances(features, params.base.seed)
    outliers = sorted(np.flatnonzero(far_out(apart)).tolist(), key=lambda row: -apart[row])
    rejected = list(read_table(REJECTED, REJECTED_COLUMNS))
    findings = [
        *_duplicates(audited, identical, near),
        *_labels(audited, doubts),
        *(audited.find("outlier", row, apart[row], "distance to its ten nearest") for row in outliers),
        *(Finding("unreadable", path, path.split("/")[0], *("",) * 6, reason) for path, reason in rejected),
        *(audited.find("odd", row, 0, remark) for row, remark in enumerate(remarks) if remark),
    ]
    write_table(outputs.file(EXAMINED), Finding._fields, findings)
    print(f"examine: {len(findings)} findings")


def _remarks(manifest: Manifest) -> list[str]:
    """What is odd about each image, "" if nothing."""
    records, said = manifest.records, dict(read_table(REMARKS, REMARKS_COLUMNS))
    usual_side = float(np.median([(record.width * record.height) ** 0.5 for record in records]))
    usual_ratio = float(np.median([record.width / record.height for record in records]))
    sizes = (oddity(record.width, record.height, usual_side, usual_ratio) for record in records)
    return ["; ".join(filter(None, (said.get(key, ""), odd))) for key, odd in zip(manifest.keys, sizes, strict=True)]


def _doubt(features: np.ndarray, manifest: Manifest, groups: np.ndarray, params: Params) -> Doubts:
    """Judges the labels; nearly the same images share a fold, so that none is learned from its double."""
    prepare_tensorflow()
    folds = draw_folds(manifest.labels, groups, params.audit.folds, params.base.seed)
    return doubt_labels(
        features, manifest.labels, folds, params.audit.epochs, params.base.seed,
        lambda numbers: track(numbers, "examine", unit=" folds"),
    )  # fmt: skip


def _duplicates(audited: Audited, identical: Pairs, pairs: Pairs) -> Iterator[Finding]:
    """The identical and the nearly identical images; first those of different classes, then of different splits."""
    same = zip(identical.first.tolist(), identical.second.tolist(), strict=True)
    found = [audited.find("duplicate", row, 1, "the same bytes", other) for other, row in same]
    near = [
        audited.find("near_duplicate", row, value, "correlation of the thumbnails", other)
        for other, row, value in zip(*(each.tolist() for each in pairs), strict=True)
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
    run_stage(main)
