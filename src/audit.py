"""Stage `audit`: list what is probably wrong with the images and their labels."""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np

from similarity import layout
from similarity.data.dataset.corrections import decided_keys, read_corrections
from similarity.data.dataset.duplicates import Pairs, bounded_groups, read_duplicates
from similarity.data.dataset.manifest import Manifest, read_manifest
from similarity.data.dataset.scanning import REMARKS_COLUMNS, Rejection
from similarity.data.files import Outputs, read_table, write_metrics, write_table
from similarity.findings import labels as judging
from similarity.findings.finding import KINDS, Finding, FindingKind
from similarity.findings.images import are_outliers, confirm, mean_distances, odd_sizes, principal_components
from similarity.params import Params

COMPONENTS_FOR_LABELS, COMPONENTS_FOR_OUTLIERS = 256, 32
NOUNS = {"odd": "odd image", "unreadable": "unreadable file", "class_not_judged": "unjudged class"}


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed = read_manifest(layout.MANIFEST), params.base.seed
    features = load_rows(layout.FEATURES, manifest)
    identical, near = read_duplicates(layout.DUPLICATES, manifest)
    near = confirm(near, features, seed)
    progress = partial(track, label="audit: components", unit=" blocks")
    components = principal_components(features, COMPONENTS_FOR_LABELS, seed, progress)
    distances = mean_distances(np.ascontiguousarray(components[:, :COMPONENTS_FOR_OUTLIERS]), seed)
    labeled = manifest.labeled(np.arange(len(features)))
    labels, groups = manifest.labels[labeled], bounded_groups(manifest, identical, near, judging.FOLDS)[labeled]
    progress = partial(track, label="audit: labels", unit=" folds")
    judgement = judging.judge_labels(components[labeled], labels, judging.draw_folds(labels, groups, seed), progress)
    findings = [
        *pairs(manifest, "duplicate", identical, "the same bytes"),
        *pairs(manifest, "near_duplicate", near, "correlation of the thumbnails"),
        *doubted_labels(manifest, features, labeled, groups, judgement),
        *outliers(manifest, distances),
        *odd_images(manifest),
        *(
            Finding("unreadable", key, key.split("/")[0], reason=reason)
            for key, reason in read_table(layout.REJECTED, Rejection._fields)
        ),
        *judging.small_classes(manifest.classes, labels, judgement.judged),
    ]
    decided = decided_keys(read_corrections(layout.CORRECTIONS))
    findings = [each for each in findings if each.path not in decided]
    counts = Counter(each.finding for each in findings)
    across = Counter(each.finding for each in findings if each.is_across_classes)
    details = {kind: counts[kind] for kind in KINDS} | {
        f"{kind}_across_classes": across[kind] for kind in KINDS if kind in {"duplicate", "near_duplicate"}
    }
    write_table(outputs.file(layout.FINDINGS), Finding._fields, findings)
    write_metrics(outputs.file(layout.METRICS / "audit.json"), {"findings": len(findings)})
    write_metrics(
        outputs.file(layout.DETAILS / "audit.json"),
        details | {"findings": len(findings), "labels_judged": judgement.judged.sum()},
    )
    found = ", ".join(counted(number, NOUNS.get(kind, kind.replace("_", " "))) for kind, number in counts.items())
    print(f"audit: {found or 'nothing'} found; see {layout.FINDINGS}, or Findings on the search page")


def pairs(manifest: Manifest, kind: FindingKind, found: Pairs, reason: str) -> list[Finding]:
    """List images that are there twice, those of different classes first, since one of the labels is wrong."""
    findings = []
    for first, second, value in zip(*(each.tolist() for each in found), strict=True):
        one, other = manifest.records[second], manifest.records[first]
        findings.append(Finding(kind, one.path, one.label, f"{value:.6f}", "", other.path, other.label, reason))
    return sorted(findings, key=lambda each: (each.label == each.other_label, -float(each.score)))


def about(manifest: Manifest, kind: FindingKind, row: int, score: float, reason: str, suggested: str = "") -> Finding:
    """Make a finding about one image."""
    record = manifest.records[row]
    return Finding(kind, record.path, record.label, f"{score:.6f}", suggested, reason=reason)


def doubted_labels(
    manifest: Manifest, features: np.ndarray, rows: np.ndarray, groups: np.ndarray, judgement: judging.Judgement
) -> list[Finding]:
    """List labels of some rows that are probably or possibly wrong, the most probable first.

    There are two witnesses, the classifier and the nearest images; see `weigh`.
    """
    order = np.argsort(-judgement.wrong, kind="stable")[: (judgement.wrong >= judging.DOUBTFUL).sum()]
    if not len(order):
        return []
    votes = judging.ask_neighbors(features, rows, manifest.labels[rows], groups, order, judgement.suggested[order])
    findings = []
    for i, own, other in zip(order.tolist(), *votes, strict=True):
        probability, suggested = judgement.wrong[i], manifest.classes[judgement.suggested[i]]
        if kind := judging.weigh(probability, own, other):
            reason = f"of its {judging.VOTERS} nearest images, {other} are of class {suggested} and {own} of its own"
            findings.append(about(manifest, kind, int(rows[i]), probability, reason, suggested))
    return sorted(findings, key=lambda each: each.finding != "wrong_label")


def outliers(manifest: Manifest, distances: np.ndarray) -> Iterator[Finding]:
    """List images far from all others, the furthest first, by the mean distance to their ten nearest, float64 (n,)."""
    for row in sorted(np.flatnonzero(are_outliers(distances)).tolist(), key=lambda row: -distances[row]):
        yield about(manifest, "outlier", row, distances[row], "distance to its ten nearest")


def odd_images(manifest: Manifest) -> Iterator[Finding]:
    """List images that `scan` remarked on, and those of odd sizes."""
    remarks = dict(read_table(layout.REMARKS, REMARKS_COLUMNS))
    for row, (key, odd_size) in enumerate(zip(manifest.keys, odd_sizes(manifest.records), strict=True)):
        if reason := "; ".join(filter(None, (remarks.get(key), odd_size))):
            yield about(manifest, "odd", row, 0, reason)


if __name__ == "__main__":
    run_stage(main)
