"""Stage `audit`: lists what is probably wrong with the data set, and draws the worst of each kind."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.auditing import (
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
from similarity.descriptors import contrast, thumbnail
from similarity.files import read_table, replaced_folder, write_metrics, write_table
from similarity.images import read_image_file
from similarity.manifest import ImageRecord, Manifest, read_manifest, read_splits
from similarity.parallel import ordered_map
from similarity.params import Params
from similarity.pictures import Tile, draw_sheet
from similarity.tensorflow_setup import prepare_tensorflow
from stage import (
    DATA,
    EMBEDDINGS,
    FEATURES,
    IMAGES,
    MANIFEST,
    METRICS,
    PLOTS,
    REJECTED,
    REJECTED_COLUMNS,
    SPLITS,
    run,
    track,
)

WORST = 10
COUNTED = {
    "wrong_label": "wrong_labels",
    "doubtful_label": "doubtful_labels",
    "outlier": "outliers",
    "unreadable": "unreadable",
    "odd": "odd",
    "zero_vector": "zero_vectors",
}


class Finding(NamedTuple):
    """A row of `data/audit.csv`: what was found of which image, and the other image that it was found by, if any.

    Attributes:
        score: by which the findings of a kind are sorted, the worst first; what it is, `reason` says.
        suggested: the class that it rather seems to be of, if the finding is about that.
    """

    finding: str
    path: str
    label: str
    split: str
    score: str
    suggested: str
    other: str
    other_label: str
    other_split: str
    reason: str


class Audited:
    """The images by their rows, and the findings that are made of them."""

    def __init__(self, manifest: Manifest, splits: dict[str, np.ndarray]) -> None:
        self.manifest = manifest
        self.split_of = {row: name for name, rows in splits.items() for row in rows.tolist()}

    def find(
        self, finding: str, row: int, score: float, reason: str, other: int | None = None, suggested: str = ""
    ) -> Finding:
        return Finding(finding, *self._about(row), f"{score:.6f}", suggested, *self._about(other), reason)

    def _about(self, row: int | None) -> tuple[str, str, str]:
        if row is None:
            return "", "", ""
        record = self.manifest.records[row]
        return record.path, record.label, self.split_of[row]


def main(params: Params) -> None:
    manifest, embeddings = read_manifest(MANIFEST), np.load(EMBEDDINGS)
    features = np.load(FEATURES, mmap_mode="r")
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
        *(audited.find("zero_vector", row, 0, "embedding of zeros") for row in _zero_rows(embeddings)),
    ]
    write_table(DATA / "audit.csv", Finding._fields, findings)
    _draw(findings)
    figures = _count(findings) | {"dead_dimensions": int((~embeddings.any(axis=0)).sum())}
    write_metrics(METRICS / "audit.json", figures)
    print("audit: " + ", ".join(f"{count} {name}" for name, count in figures.items()))


def _zero_rows(embeddings: np.ndarray) -> list[int]:
    return np.flatnonzero(~embeddings.any(axis=1)).tolist()


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
    training = params.train.model_copy(update={"epochs": params.audit.epochs})
    return doubt_labels(
        features, manifest.labels, folds, params.embedding.size, training, params.base.seed,
        lambda numbers: track(numbers, "audit", unit=" folds"),
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
    return not _crosses_classes(finding), not _crosses_splits(finding), -float(finding.score)


def _crosses_classes(finding: Finding) -> bool:
    return finding.label != finding.other_label


def _crosses_splits(finding: Finding) -> bool:
    return finding.split != finding.other_split


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


def _count(findings: list[Finding]) -> dict[str, int]:
    counts = {}
    for kind in ("duplicate", "near_duplicate"):
        pairs = [each for each in findings if each.finding == kind]
        counts[f"{kind}s"] = len(pairs)
        counts[f"{kind}s_across_classes"] = sum(map(_crosses_classes, pairs))
        counts[f"{kind}s_across_splits"] = sum(map(_crosses_splits, pairs))
    kinds = [each.finding for each in findings]
    return counts | {name: kinds.count(kind) for kind, name in COUNTED.items()}


def _draw(findings: list[Finding]) -> None:
    """Draws the first ten of each kind; those that are found by another image beside it."""
    with replaced_folder(PLOTS / "audit") as folder:
        for kind in dict.fromkeys(each.finding for each in findings if each.finding != "unreadable"):
            worst = [each for each in findings if each.finding == kind][:WORST]
            if worst[0].other:
                sheet = draw_sheet([_tiles(each) for each in worst])
            else:
                sheet = draw_sheet([list(chain.from_iterable(map(_tiles, worst)))], query_apart=False)
            sheet.save(folder / f"{kind}.png")


def _tiles(finding: Finding) -> list[Tile]:
    """A finding's image, and the other one, if there is one, framed by whether they are of one class."""
    classes = f"{finding.label} → {finding.suggested}?" if finding.suggested else finding.label
    tiles = [_tile(finding.path, f"{float(finding.score):.3g}  {finding.split}", classes, None)]
    if finding.other:
        same = finding.label == finding.other_label
        tiles.append(_tile(finding.other, finding.other_split, finding.other_label, same))
    return tiles


def _tile(key: str, caption: str, classes: str, is_match: bool | None) -> Tile:
    return Tile(IMAGES / key, (caption, classes, key.split("/")[1]), is_match)


if __name__ == "__main__":
    run(main)
