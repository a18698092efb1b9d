"""Stage `audit`: lists what is probably wrong with the data set, and draws the worst of each kind.

It adds to what `examine` found what the embedding shows.
"""

from collections.abc import Callable
from itertools import chain

import numpy as np

from pipeline.paths import DATA, EMBEDDINGS, EXAMINED, MANIFEST, METRICS, PLOTS, PREVIEWS, SPLITS
from pipeline.stage import run_stage
from similarity.dataset.manifest import read_manifest, read_splits
from similarity.files import Outputs, read_table, write_metrics, write_table
from similarity.findings.finding import Audited, Finding
from similarity.images.previews import Previews
from similarity.params import Params
from similarity.pictures.sheets import Tile, draw_sheet

WORST = 10
COUNTED = {
    "wrong_label": "wrong_labels",
    "doubtful_label": "doubtful_labels",
    "outlier": "outliers",
    "unreadable": "unreadable",
    "odd": "odd",
    "zero_vector": "zero_vectors",
}


def main(_: Params, outputs: Outputs) -> None:
    manifest, embeddings = read_manifest(MANIFEST), np.load(EMBEDDINGS)
    audited = Audited(manifest, read_splits(SPLITS, manifest))
    findings = [Finding(*row) for row in read_table(EXAMINED, Finding._fields)]
    zeros = np.flatnonzero(~embeddings.any(axis=1)).tolist()
    findings += [audited.find("zero_vector", row, 0, "embedding of zeros") for row in zeros]
    write_table(outputs.file(DATA / "audit.csv"), Finding._fields, findings)
    _draw(findings, {key: row for row, key in enumerate(manifest.keys)}, outputs)
    figures = _count(findings) | {"dead_dimensions": int((~embeddings.any(axis=0)).sum())}
    write_metrics(outputs.file(METRICS / "audit.json"), figures)
    print("audit: " + ", ".join(f"{count} {name}" for name, count in figures.items()))


def _count(findings: list[Finding]) -> dict[str, int]:
    counts = {}
    for kind in ("duplicate", "near_duplicate"):
        pairs = [each for each in findings if each.finding == kind]
        counts[f"{kind}s"] = len(pairs)
        counts[f"{kind}s_across_classes"] = sum(each.crosses_classes for each in pairs)
        counts[f"{kind}s_across_splits"] = sum(each.crosses_splits for each in pairs)
    kinds = [each.finding for each in findings]
    return counts | {name: kinds.count(kind) for kind, name in COUNTED.items()}


def _draw(findings: list[Finding], rows: dict[str, int], outputs: Outputs) -> None:
    """Draws the first ten of each kind; those that are found by another image beside it."""
    folder, previews = outputs.folder(PLOTS / "audit"), Previews(PREVIEWS)
    pictures = lambda key: previews[rows[key]]  # noqa: E731
    for kind in dict.fromkeys(each.finding for each in findings if each.finding != "unreadable"):
        worst = [_tiles(each, pictures) for each in findings if each.finding == kind][:WORST]
        if len(worst[0]) > 1:
            sheet = draw_sheet(worst)
        else:
            sheet = draw_sheet([list(chain.from_iterable(worst))], query_apart=False)
        sheet.save(folder / f"{kind}.png")


def _tiles(finding: Finding, pictures: Callable[[str], np.ndarray]) -> list[Tile]:
    """A finding's image, and the other one, if there is one, framed by whether they are of one class."""
    classes = f"{finding.label} → {finding.suggested}?" if finding.suggested else finding.label
    tiles = [_tile(pictures, finding.path, f"{float(finding.score):.3g}  {finding.split}", classes, None)]
    if finding.other:
        same = finding.label == finding.other_label
        tiles.append(_tile(pictures, finding.other, finding.other_split, finding.other_label, same))
    return tiles


def _tile(pictures: Callable[[str], np.ndarray], key: str, caption: str, classes: str, is_match: bool | None) -> Tile:
    return Tile(pictures(key), (caption, classes, key.split("/")[1]), is_match)


if __name__ == "__main__":
    run_stage(main)
