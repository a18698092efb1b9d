"""Stage `report`: put all that a run has found on one page, with pictures, to look at and to hand on."""

from pipeline.inputs import check_rows, read_metrics_file
from pipeline.stage import counted, run_stage

import csv
import io
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.files import Outputs
from similarity.data.images.pictures import Previews
from similarity.evaluation.likeness import load_likeness, words
from similarity.findings.finding import read_findings
from similarity.params import Params
from similarity.reporting import page
from similarity.reporting.album import Album, Query
from similarity.reporting.markup import render_page

DETAILED = ("scan", "ann", "novelty", "baselines", "evaluate", "audit")


def main(params: Params, outputs: Outputs) -> None:
    manifest, positions = read_manifest(layout.MANIFEST), np.load(layout.MAP)["all"]
    check_rows(layout.MAP, len(positions), manifest)
    metrics = {name: read_metrics_file(layout.DETAILS / f"{name}.json") for name in DETAILED}
    splits, findings, album = read_splits(layout.SPLITS, manifest), read_findings(layout.FINDINGS), open_album(manifest)
    scores = {row["path"]: float(row["p_at_10"]) for row in read_rows(layout.QUERY_SCORES) if row["split"] == "test"}
    queries = read_queries(layout.QUERY_NEIGHBORS.read_text(encoding="utf-8"), scores)
    history = read_rows(layout.HISTORY)
    curves = {name: [float(row[name]) for row in history] for name in (history[0] if history else {})}
    per_class = {row["class"]: row for row in read_rows(layout.PLOTS / "per_class.csv")}
    confused = [(row["actual"], row["nearest"]) for row in read_rows(layout.PLOTS / "confusion.csv")]
    refused = [(row["images"], float(row["refused"])) for row in read_rows(layout.PLOTS / "novelty.csv")]
    text = render_page(
        "Image similarity",
        introduction(params, manifest, splits),
        page.headline(metrics),
        [
            page.failures_section(queries, findings, album),
            page.classes_section(page.class_counts(manifest, splits), per_class, confused),
            page.queries_section(queries, album),
            page.map_section(manifest, positions),
            page.edits_section(metrics["evaluate"]["likeness"]),
            page.novelty_section(refused),
            page.baselines_section(metrics),
            page.audit_section(findings),
            page.training_section(curves),
            page.figures_section(metrics),
        ],
    )
    outputs.file(layout.REPORT).write_text(text, encoding="utf-8", errors="replace")
    print(f"report: {layout.REPORT}, a page of {len(text) / 1e6:.1f} MB")


def introduction(params: Params, manifest: Manifest, splits: dict[str, np.ndarray]) -> str:
    train, valid, test = (len(splits[name]) for name in ("train", "valid", "test"))
    return (
        f"{len(manifest.keys):,} images in {counted(len(manifest.classes), 'class')} from {params.data.source}: "
        f"{train:,} training, {valid:,} validation, {test:,} test"
    )


def open_album(manifest: Manifest) -> Album:
    """Open the previews of all images, and the words for their likeness."""
    likeness = load_likeness(layout.NOVELTY)

    def in_words(cosine: float) -> str:
        return f"{(value := likeness(cosine))}, {words(value)}"

    rows = {key: row for row, key in enumerate(manifest.keys)}
    return Album(Previews(layout.PREVIEWS).__getitem__, rows, in_words, manifest.can_teach)


def read_queries(table: str, scores: Mapping[str, float] = MappingProxyType({})) -> list[Query]:
    """Read the test images with their neighbors, by the text of the table that `evaluate` wrote."""
    rows = groupby(csv.DictReader(io.StringIO(table)), itemgetter("path"))
    return [
        Query(key, [(row["neighbor"], float(row["cosine"])) for row in found], scores.get(key)) for key, found in rows
    ]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    run_stage(main)
