"""Stage `audit`: lists what is probably wrong with the images and their labels, and draws the worst of each kind."""

from pipeline.inputs import check_rows, load_rows
from pipeline.stage import counted, run_stage, track

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from similarity.dataset.manifest import UNLABELED, Manifest, read_manifest
from similarity.duplication.grouping import bounded_groups
from similarity.duplication.pairs import Pairs, read_duplicates
from similarity.files import Outputs, read_table, write_metrics, write_table
from similarity.findings.class_sizes import small_classes
from similarity.findings.components import principal_components
from similarity.findings.finding import Finding, FindingKind, find_image
from similarity.findings.label_judge import Judgement, draw_folds, judge_labels
from similarity.findings.odd_images import odd_sizes
from similarity.findings.outliers import are_outliers, mean_distances
from similarity.findings.repeated_images import confirm
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
WORST = 10
FOLDS = 5  # the labels of each are judged by a model trained on the others
COUNTED: dict[FindingKind, str] = {
    "duplicate": "duplicates",
    "near_duplicate": "near_duplicates",
    "wrong_label": "wrong_labels",
    "doubtful_label": "doubtful_labels",
    "outlier": "outliers",
    "odd": "odd",
    "unreadable": "unreadable",
    "class_not_judged": "classes_not_judged",
    "class_imbalance": "class_imbalances",
}

NOUNS = {"odd": "odd image", "unreadable": "unreadable file", "class_not_judged": "class not judged"}


def main(params: Params, outputs: Outputs) -> None:
    manifest, seed = read_manifest(MANIFEST), params.base.seed
    features = load_rows(FEATURES, manifest)
    check_rows(PREVIEWS, len(Previews(PREVIEWS)), manifest)
    identical, near = read_duplicates(DUPLICATES, manifest)
    near = confirm(near, features, seed)
    components = principal_components(
        features, COMPONENTS_FOR_LABELS, lambda blocks: track(blocks, "audit: components", unit=" blocks")
    )
    groups = bounded_groups(manifest, identical, near, FOLDS)
    labeled = manifest.labeled(np.arange(len(groups)))
    folds = draw_folds(manifest.labels[labeled], groups[labeled], FOLDS, seed)
    judgement = judge_labels(
        components[labeled],
        manifest.labels[labeled],
        folds,
        lambda numbers: track(numbers, "audit: labels", unit=" folds"),
    )
    findings = [
        *_pairs(manifest, "duplicate", identical, "the same bytes"),
        *_pairs(manifest, "near_duplicate", near, "correlation of the thumbnails"),
        *_labels(manifest, labeled, judgement),
        *_outliers(manifest, mean_distances(np.ascontiguousarray(components[:, :COMPONENTS_FOR_OUTLIERS]), seed)),
        *_odd_images(manifest),
        *(Finding("unreadable", path, path.split("/")[0], *("",) * 4, reason) for path, reason in _rejected()),
        *small_classes(manifest.classes, manifest.labels[labeled], judgement.judged),
    ]
    write_table(outputs.file(FINDINGS), Finding._fields, findings)
    figures = _count(findings) | {"labels_judged": int(judgement.judged.sum())}
    write_metrics(outputs.file(METRICS / "audit.json"), {"findings": len(findings)})
    write_metrics(outputs.file(DETAILS / "audit.json"), figures)
    _draw(manifest, findings, outputs)
    print(f"audit: {_tell(Counter(finding.finding for finding in findings))}")


def _tell(counts: Counter[str]) -> str:
    if not counts:
        return f"nothing found, {FINDINGS} is empty"
    kinds = ", ".join(counted(count, NOUNS.get(kind, kind.replace("_", " "))) for kind, count in counts.items())
    return f"{kinds}; all are in {FINDINGS}, the worst are drawn in {PLOTS / 'audit'}"


def _pairs(manifest: Manifest, finding: FindingKind, pairs: Pairs, reason: str) -> list[Finding]:
    """Images that are there twice; first those of different classes, since one of the labels is wrong."""
    found = [
        find_image(manifest, finding, row, value, reason, other)
        for other, row, value in zip(*(each.tolist() for each in pairs), strict=True)
    ]
    return sorted(found, key=lambda each: (each.label == each.other_label, -float(each.score)))


def _labels(manifest: Manifest, rows: np.ndarray, judgement: Judgement) -> Iterator[Finding]:
    """The labels of some rows that are probably wrong, then those that may be, the most probable first."""
    reason = "probability that the label is wrong"
    for i in np.argsort(-judgement.wrong, kind="stable").tolist():
        if (probability := float(judgement.wrong[i])) < DOUBTFUL:
            return
        finding: FindingKind = "wrong_label" if probability >= WRONG else "doubtful_label"
        suggested = manifest.classes[judgement.suggested[i]]
        yield find_image(manifest, finding, int(rows[i]), probability, reason, suggested=suggested)


def _outliers(manifest: Manifest, distances: np.ndarray) -> Iterator[Finding]:
    for row in sorted(np.flatnonzero(are_outliers(distances)).tolist(), key=lambda row: -distances[row]):
        yield find_image(manifest, "outlier", row, distances[row], "distance to its ten nearest")


def _odd_images(manifest: Manifest) -> Iterator[Finding]:
    remarks = dict(read_table(REMARKS, REMARKS_COLUMNS))
    for row, (key, odd_size) in enumerate(zip(manifest.keys, odd_sizes(manifest.records), strict=True)):
        if reason := "; ".join(filter(None, (remarks.get(key), odd_size))):
            yield find_image(manifest, "odd", row, 0, reason)


def _rejected() -> Iterable[list[str]]:
    return read_table(REJECTED, REJECTED_COLUMNS)


def _count(findings: list[Finding]) -> dict[str, int]:
    kinds = [each.finding for each in findings]
    counts = {name: kinds.count(kind) for kind, name in COUNTED.items()}
    for kind in ("duplicate", "near_duplicate"):
        labels = [{each.label, each.other_label} for each in findings if each.finding == kind]
        counts[f"{kind}s_across_classes"] = sum(len(pair) > 1 and UNLABELED not in pair for pair in labels)
    return counts


def _draw(manifest: Manifest, findings: list[Finding], outputs: Outputs) -> None:
    """Draws the first ten of each kind; those that are found by another image beside it."""
    folder, previews = outputs.folder(PLOTS / "audit"), Previews(PREVIEWS)
    rows = {key: row for row, key in enumerate(manifest.keys)}

    def tiles(finding: Finding) -> list[Tile]:
        caption = finding.reason if finding.finding == "odd" else f"{float(finding.score):.3g}"
        suggestion = [f"→ {finding.suggested}?"] if finding.suggested else []
        drawn = [_tile(previews[rows[finding.path]], finding.path, [caption, finding.label, *suggestion], None)]
        if finding.other:
            same = finding.label == finding.other_label
            drawn.append(_tile(previews[rows[finding.other]], finding.other, ["", finding.other_label], same))
        return drawn

    for kind in dict.fromkeys(each.finding for each in findings if each.path in rows):
        worst = [tiles(each) for each in findings if each.finding == kind][:WORST]
        sheet = (
            draw_sheet(worst)
            if len(worst[0]) > 1
            else draw_sheet([list(chain.from_iterable(worst))], query_apart=False)
        )
        sheet.save(folder / f"{kind}.png")


def _tile(pixels: np.ndarray, key: str, lines: list[str], is_match: bool | None) -> Tile:
    return Tile(pixels, (*lines, key.split("/")[1]), is_match)


if __name__ == "__main__":
    run_stage(main)
