"""Stage `audit`: list what is probably wrong with the images and their labels."""

from pipeline.inputs import load_rows
from pipeline.stage import run_stage, track

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np

from similarity import detection, layout
from similarity.data.dataset.duplicates import Pairs, bounded_groups, read_duplicates
from similarity.data.dataset.manifest import Manifest, read_manifest
from similarity.data.dataset.scanning import REMARKS_COLUMNS, Rejection
from similarity.data.files import Outputs, read_table, write_metrics, write_table
from similarity.data.sources.label_tables import decided_keys, read_corrections
from similarity.finding import KINDS, Finding, FindingKind
from similarity.params import Params

COMPONENTS_FOR_LABELS, COMPONENTS_FOR_OUTLIERS = 256, 32
TIMES_SMALLER = 10  # than the median class


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed = read_manifest(layout.MANIFEST), params.base.seed
    features = load_rows(layout.FEATURES, manifest)
    identical, near = read_duplicates(layout.DUPLICATES, manifest)
    near = detection.confirm(near, features, seed)
    progress = partial(track, label="audit: components", unit=" blocks")
    components = detection.principal_components(features, COMPONENTS_FOR_LABELS, seed, progress)
    labeled = manifest.labeled(np.arange(len(features)))
    labels, groups = manifest.labels[labeled], bounded_groups(manifest, identical, near, detection.FOLDS)[labeled]
    folds = detection.draw_folds(labels, groups, seed)
    progress = partial(track, label="audit: labels", unit=" folds")
    wrong, suggested = detection.judge_labels(components[labeled], labels, folds, progress)
    doubted = np.flatnonzero(wrong >= detection.DOUBTFUL)
    doubted = doubted[np.argsort(-wrong[doubted], kind="stable")]
    nearest = detection.nearest_labels(features, labeled, labels, groups, doubted)
    outliers = detection.find_outliers(np.ascontiguousarray(components[:, :COMPONENTS_FOR_OUTLIERS]), seed)
    judged = int((folds >= 0).sum())
    findings = [
        *pairs(manifest, "duplicate", identical, "the same bytes"),
        *pairs(manifest, "near_duplicate", near, "correlation of the thumbnails"),
        *doubted_labels(manifest, labeled[doubted], wrong[doubted], suggested[doubted], nearest, judged),
        *(about(manifest, "outlier", *each, "distance to its ten nearest") for each in zip(*outliers, strict=True)),
        *odd_images(manifest),
        *(
            Finding("unreadable", key, key.split("/")[0], reason=reason)
            for key, reason in read_table(layout.REJECTED, Rejection._fields)
        ),
        *small_classes(manifest.classes, labels, folds >= 0),
    ]
    decided = decided_keys(read_corrections(layout.CORRECTIONS))
    findings = [each for each in findings if each.path not in decided]
    counts = Counter(each.finding for each in findings)
    across = Counter(each.finding for each in findings if each.is_across_classes)
    details: dict[str, int] = {kind: counts[kind] for kind in KINDS}
    details |= {f"{kind}_across_classes": across[kind] for kind in ("duplicate", "near_duplicate")}
    details |= {"findings": len(findings), "labels_judged": judged}
    write_table(outputs.file(layout.FINDINGS), Finding._fields, findings)
    write_metrics(outputs.file(layout.METRICS / "audit.json"), {"findings": len(findings)})
    write_metrics(outputs.file(layout.DETAILS / "audit.json"), details)
    found = ", ".join(f"{kind} {number:,}" for kind, number in counts.items())
    print(f"audit: {found or 'nothing'} found; see {layout.FINDINGS}, or Findings on the search page")


def pairs(manifest: Manifest, kind: FindingKind, found: Pairs, reason: str) -> list[Finding]:
    """List images that are there twice, those of different classes first, since one of the labels is wrong."""
    findings = []
    for first, second, value in zip(*(each.tolist() for each in found), strict=True):
        other = manifest.records[first]
        each = about(manifest, kind, second, value, reason)
        findings.append(each._replace(other=other.path, other_label=other.label))
    return sorted(findings, key=lambda each: (each.label == each.other_label, -float(each.score)))


def about(manifest: Manifest, kind: FindingKind, row: int, score: float, reason: str, suggested: str = "") -> Finding:
    """Make a finding about one image."""
    record = manifest.records[row]
    return Finding(kind, record.path, record.label, f"{score:.6f}", suggested, reason=reason)


def doubted_labels(
    manifest: Manifest, rows: np.ndarray, wrong: np.ndarray, suggested: np.ndarray, nearest: np.ndarray, judged: int
) -> list[Finding]:
    """List labels of some rows, int64 (m,), that are probably or possibly wrong, the most probable first.

    There are two witnesses: a classifier, with the probability that each label is wrong and the class index that it
    suggests, and the labels of the nearest images, int (m, k).
    """
    own, other = ((nearest == each[:, None]).sum(axis=1) for each in (manifest.labels[rows], suggested))
    findings, voters = [], f"of its {detection.VOTERS} nearest images"
    for place, kind in enumerate(detection.weigh(wrong, own, other, judged).tolist()):
        if kind:
            name = manifest.classes[suggested[place]]
            reason = f"{voters}, {other[place]} are of class {name} and {own[place]} of its own"
            findings.append(about(manifest, kind, rows[place], wrong[place], reason, name))
    return sorted(findings, key=lambda each: each.finding != "wrong_label")


def odd_images(manifest: Manifest) -> Iterator[Finding]:
    """List images that `scan` remarked on, and those of odd sizes."""
    remarks = dict(read_table(layout.REMARKS, REMARKS_COLUMNS))
    for row, (key, odd_size) in enumerate(zip(manifest.keys, detection.odd_sizes(manifest.records), strict=True)):
        if reason := "; ".join(filter(None, (remarks.get(key), odd_size))):
            yield about(manifest, "odd", row, 0, reason)


def small_classes(classes: list[str], labels: np.ndarray, judged: np.ndarray) -> Iterator[Finding]:
    """List classes without a judged label, and classes much smaller than the median one, if there are several.

    Labels are those of images that have one, int (n,), with whether each could be judged, bool (n,).
    """
    if len(classes) < 2:
        return
    sizes, with_judged = np.bincount(labels, minlength=len(classes)), np.isin(range(len(classes)), labels[judged])
    usual = float(np.median(sizes))
    for label in np.argsort(sizes, kind="stable").tolist():
        size = int(sizes[label])
        if not with_judged[label]:
            reason = f"{size} images, too few or too much alike to judge their labels"
            yield Finding("class_not_judged", "", classes[label], str(size), reason=reason)
        elif size * TIMES_SMALLER <= usual:
            reason = f"{size} images, where the median class has {usual:g}"
            yield Finding("class_imbalance", "", classes[label], str(size), reason=reason)


if __name__ == "__main__":
    run_stage(main)
