"""Stage `audit`: list what is probably wrong with the images and their labels, and draw the worst of each kind."""

from pipeline.inputs import check_rows, load_rows
from pipeline.stage import counted, run_stage, track

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain

import numpy as np
from PIL import Image

from similarity.dataset.duplicates import Pairs, bounded_groups, read_duplicates
from similarity.dataset.manifest import Manifest, read_manifest
from similarity.files import Outputs, read_table, write_metrics, write_table
from similarity.findings.finding import KINDS, Finding, FindingKind, find_image
from similarity.findings.images import are_outliers, confirm, mean_distances, odd_sizes, principal_components
from similarity.findings.labels import FOLDS, Judgement, draw_folds, judge_labels, small_classes
from similarity.images.previews import Previews
from similarity.layout import (
    DETAILS,
    DUPLICATES,
    FEATURES,
    FINDINGS,
    MANIFEST,
    METRICS,
    PLOTS,
    PREVIEWS,
    REJECTED,
    REJECTED_COLUMNS,
    REMARKS,
    REMARKS_COLUMNS,
)
from similarity.params import Params
from similarity.pictures.sheets import Tile, draw_sheet

COMPONENTS_FOR_LABELS, COMPONENTS_FOR_OUTLIERS = 256, 32
WRONG, DOUBTFUL = 0.5, 0.2  # probability of a wrong label, from which it is called so
WORST = 10  # findings of each kind that are drawn
NOUNS = {"odd": "odd image", "unreadable": "unreadable file", "class_not_judged": "unjudged class"}


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed, previews = read_manifest(MANIFEST), params.base.seed, Previews(PREVIEWS)
    features = load_rows(FEATURES, manifest)
    check_rows(PREVIEWS, len(previews), manifest)
    identical, near = read_duplicates(DUPLICATES, manifest)
    near = confirm(near, features, seed)
    progress = partial(track, label="audit: components", unit=" blocks")
    components = principal_components(features, COMPONENTS_FOR_LABELS, seed, progress)
    distances = mean_distances(np.ascontiguousarray(components[:, :COMPONENTS_FOR_OUTLIERS]), seed)
    labeled = manifest.labeled(np.arange(len(features)))
    labels, groups = manifest.labels[labeled], bounded_groups(manifest, identical, near, FOLDS)[labeled]
    progress = partial(track, label="audit: labels", unit=" folds")
    judgement = judge_labels(components[labeled], labels, draw_folds(labels, groups, seed), progress)
    findings = [
        *pairs(manifest, "duplicate", identical, "the same bytes"),
        *pairs(manifest, "near_duplicate", near, "correlation of the thumbnails"),
        *doubted_labels(manifest, labeled, judgement),
        *outliers(manifest, distances),
        *odd_images(manifest),
        *unreadable_files(),
        *small_classes(manifest.classes, labels, judgement.judged),
    ]
    sheets = draw(manifest, findings, previews)
    write_table(outputs.file(FINDINGS), Finding._fields, findings)
    write_metrics(outputs.file(METRICS / "audit.json"), {"findings": len(findings)})
    write_metrics(outputs.file(DETAILS / "audit.json"), count(findings) | {"labels_judged": judgement.judged.sum()})
    folder = outputs.folder(PLOTS / "audit")
    for kind, sheet in sheets.items():
        sheet.save(folder / f"{kind}.png")
    print(f"audit: {summary(findings)}")


def pairs(manifest: Manifest, kind: FindingKind, found: Pairs, reason: str) -> list[Finding]:
    """List images that are there twice, those of different classes first, since one of the labels is wrong."""
    rows = zip(found.first.tolist(), found.second.tolist(), found.correlations.tolist(), strict=True)
    findings = [find_image(manifest, kind, second, value, reason, first) for first, second, value in rows]
    return sorted(findings, key=lambda each: (each.label == each.other_label, -float(each.score)))


def doubted_labels(manifest: Manifest, rows: np.ndarray, judgement: Judgement) -> Iterator[Finding]:
    """List the labels of some rows that are probably or perhaps wrong, the most probable first."""
    for i in np.argsort(-judgement.wrong, kind="stable")[: (judgement.wrong >= DOUBTFUL).sum()].tolist():
        probability = judgement.wrong[i]
        kind: FindingKind = "wrong_label" if probability >= WRONG else "doubtful_label"
        suggested, reason = manifest.classes[judgement.suggested[i]], "probability that the label is wrong"
        yield find_image(manifest, kind, int(rows[i]), probability, reason, suggested=suggested)


def outliers(manifest: Manifest, distances: np.ndarray) -> Iterator[Finding]:
    """List images far from all others, the furthest first, by the mean distance to their ten nearest, float64 (n,)."""
    for row in sorted(np.flatnonzero(are_outliers(distances)).tolist(), key=lambda row: -distances[row]):
        yield find_image(manifest, "outlier", row, distances[row], "distance to its ten nearest")


def odd_images(manifest: Manifest) -> Iterator[Finding]:
    """List images that `scan` remarked on, and those of odd sizes."""
    remarks = dict(read_table(REMARKS, REMARKS_COLUMNS))
    for row, (key, odd_size) in enumerate(zip(manifest.keys, odd_sizes(manifest.records), strict=True)):
        if reason := "; ".join(filter(None, (remarks.get(key), odd_size))):
            yield find_image(manifest, "odd", row, 0, reason)


def unreadable_files() -> Iterator[Finding]:
    for path, reason in read_table(REJECTED, REJECTED_COLUMNS):
        yield Finding("unreadable", path, path.split("/")[0], "", "", "", "", reason)


def count(findings: list[Finding]) -> dict[str, int]:
    """Count the findings of each kind, and the pairs across classes."""
    kinds = Counter(each.finding for each in findings)
    across = Counter(each.finding for each in findings if each.is_across_classes)
    return {kind: kinds[kind] for kind in KINDS} | {
        f"{kind}_across_classes": across[kind] for kind in KINDS if kind in {"duplicate", "near_duplicate"}
    }


def draw(manifest: Manifest, findings: list[Finding], previews: Previews) -> dict[FindingKind, Image.Image]:
    """Draw the first ten of each kind, pairs side by side, as one sheet for each kind that is about images."""
    rows = {key: row for row, key in enumerate(manifest.keys)}

    def tile(key: str, *lines: str, is_match: bool | None = None) -> Tile:
        return Tile(previews[rows[key]], (*lines, key.split("/")[1]), is_match)

    def tiles(found: Finding) -> list[Tile]:
        caption = found.reason if found.finding == "odd" else f"{float(found.score):.3g}"
        first = tile(found.path, caption, found.label, *([f"→ {found.suggested}?"] if found.suggested else []))
        if not found.other:
            return [first]
        return [first, tile(found.other, "", found.other_label, is_match=found.label == found.other_label)]

    sheets = {}
    for kind in dict.fromkeys(each.finding for each in findings if each.path in rows):
        worst = [tiles(each) for each in findings if each.finding == kind][:WORST]
        in_pairs = len(worst[0]) > 1
        sheets[kind] = draw_sheet(worst if in_pairs else [list(chain.from_iterable(worst))], query_apart=in_pairs)
    return sheets


def summary(findings: list[Finding]) -> str:
    if not findings:
        return f"nothing found, {FINDINGS} is empty"
    counts = Counter(each.finding for each in findings)
    kinds = ", ".join(counted(number, NOUNS.get(kind, kind.replace("_", " "))) for kind, number in counts.items())
    return f"{kinds}; all are in {FINDINGS}, the worst are drawn in {PLOTS / 'audit'}"


if __name__ == "__main__":
    run_stage(main)
