"""Stage `audit`: list what is probably wrong with the images and their labels, and draw the worst of each kind."""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain

import numpy as np
from PIL import Image

from similarity import layout
from similarity.data.dataset.duplicates import Pairs, bounded_groups, read_duplicates
from similarity.data.dataset.manifest import Manifest, read_manifest
from similarity.data.dataset.scanning import REMARKS_COLUMNS, Rejection
from similarity.data.files import Outputs, read_table, write_metrics, write_table
from similarity.data.images.previews import Previews
from similarity.data.images.sheets import Tile, draw_sheet
from similarity.findings.finding import KINDS, Finding, FindingKind
from similarity.findings.images import are_outliers, confirm, mean_distances, odd_sizes, principal_components
from similarity.findings.labels import FOLDS, Judgement, draw_folds, judge_labels, small_classes
from similarity.params import Params

COMPONENTS_FOR_LABELS, COMPONENTS_FOR_OUTLIERS = 256, 32
WRONG, DOUBTFUL = 0.5, 0.2  # probability of a wrong label, from which it is called so
WORST = 10  # findings of each kind that are drawn
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
    labels, groups = manifest.labels[labeled], bounded_groups(manifest, identical, near, FOLDS)[labeled]
    progress = partial(track, label="audit: labels", unit=" folds")
    judgement = judge_labels(components[labeled], labels, draw_folds(labels, groups, seed), progress)
    rejected = read_table(layout.REJECTED, Rejection._fields)
    findings = [
        *pairs(manifest, "duplicate", identical, "the same bytes"),
        *pairs(manifest, "near_duplicate", near, "correlation of the thumbnails"),
        *doubted_labels(manifest, labeled, judgement),
        *outliers(manifest, distances),
        *odd_images(manifest),
        *(Finding("unreadable", key, key.split("/")[0], reason=reason) for key, reason in rejected),
        *small_classes(manifest.classes, labels, judgement.judged),
    ]
    counts = Counter(each.finding for each in findings)
    across = Counter(each.finding for each in findings if each.is_across_classes)
    details = {kind: counts[kind] for kind in KINDS} | {
        f"{kind}_across_classes": across[kind] for kind in KINDS if kind in {"duplicate", "near_duplicate"}
    }
    sheets = draw(manifest, findings, Previews(layout.PREVIEWS))
    write_table(outputs.file(layout.FINDINGS), Finding._fields, findings)
    write_metrics(outputs.file(layout.METRICS / "audit.json"), {"findings": len(findings)})
    write_metrics(
        outputs.file(layout.DETAILS / "audit.json"),
        details | {"findings": len(findings), "labels_judged": judgement.judged.sum()},
    )
    folder = outputs.folder(layout.PLOTS / "audit")
    for kind, sheet in sheets.items():
        sheet.save(folder / f"{kind}.png")
    found = ", ".join(counted(number, NOUNS.get(kind, kind.replace("_", " "))) for kind, number in counts.items())
    if found:
        print(f"audit: {found}; all are in {layout.FINDINGS}, the worst are drawn in {layout.PLOTS / 'audit'}")
    else:
        print(f"audit: nothing found, {layout.FINDINGS} is empty")


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


def doubted_labels(manifest: Manifest, rows: np.ndarray, judgement: Judgement) -> Iterator[Finding]:
    """List the labels of some rows that are probably or perhaps wrong, the most probable first."""
    for i in np.argsort(-judgement.wrong, kind="stable")[: (judgement.wrong >= DOUBTFUL).sum()].tolist():
        probability, suggested = judgement.wrong[i], manifest.classes[judgement.suggested[i]]
        kind: FindingKind = "wrong_label" if probability >= WRONG else "doubtful_label"
        yield about(manifest, kind, int(rows[i]), probability, "probability that the label is wrong", suggested)


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


def draw(manifest: Manifest, findings: list[Finding], previews: Previews) -> dict[FindingKind, Image.Image]:
    """Draw the first ten of each kind, pairs side by side, as one sheet for each kind that is about images."""
    rows, sheets = {key: row for row, key in enumerate(manifest.keys)}, {}

    def tile(key: str, *lines: str, is_match: bool | None = None) -> Tile:
        return Tile(previews[rows[key]], (*lines, key.split("/")[1]), is_match)

    for kind in dict.fromkeys(each.finding for each in findings if each.path in rows):
        drawn = []
        for found in [each for each in findings if each.finding == kind][:WORST]:
            caption = found.reason if kind == "odd" else f"{float(found.score):.3g}"
            drawn.append([tile(found.path, caption, found.label, *([f"→ {found.suggested}?"] * bool(found.suggested)))])
            if found.other:
                is_match = found.label == found.other_label
                drawn[-1].append(tile(found.other, "", found.other_label, is_match=is_match))
        in_pairs = len(drawn[0]) > 1
        sheets[kind] = draw_sheet(drawn if in_pairs else [list(chain.from_iterable(drawn))], query_apart=in_pairs)
    return sheets


if __name__ == "__main__":
    run_stage(main)
