"""Stage `report`: one page of all that a run has found, with pictures, to look at and to hand on."""

from pipeline.metrics_files import read_metrics_file
from pipeline.stage import run_stage

import csv
from pathlib import Path

import numpy as np

from similarity.dataset.manifest import Manifest, read_manifest
from similarity.files import Outputs
from similarity.findings.listing import read_findings
from similarity.images.decoding import read_image_file
from similarity.images.previews import Previews
from similarity.layout import DETAILS, FINDINGS, MANIFEST, MAP, METRICS, PLOTS, PREVIEWS, REPORT
from similarity.params import Params
from similarity.reporting import sections
from similarity.reporting.page import Section, render_page


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    metrics = read_all()
    parts = [
        sections.queries_section(read_pictures(PLOTS / "queries")),
        *([classes_section()] if manifest.can_teach else []),
        sections.likeness_section(metrics["likeness"]),
        audit_section(),
        map_section(manifest),
        training_section(metrics["train"].get("best_epoch")),
        foreign_section(),
        sections.figures_section(metrics, settings(params)),
    ]
    page = render_page("Image similarity", introduction(params, manifest, metrics), sections.headline(metrics), parts)
    outputs.file(REPORT).write_text(page, encoding="utf-8", errors="replace")
    print(f"report: {REPORT}, a page of {len(page) / 1e6:.1f} MB")


def read_all() -> sections.Metrics:
    headlines = {name: read_metrics_file(METRICS / f"{name}.json") for name in ("ann", "train")}
    names = ("scan", "split", "embed", "ann", "novelty", "baselines", "evaluate", "audit")
    details = {name: read_metrics_file(DETAILS / f"{name}.json") for name in names}
    return {
        "data": details["scan"],
        "splits": details["split"],
        "likeness": details["evaluate"].pop("likeness"),
        "retrieval": details["evaluate"],
        "baselines": details["baselines"],
        "ann": headlines["ann"] | details["ann"],
        "threshold": details["novelty"],
        "audit": details["audit"],
        "train": headlines["train"],
        "embeddings": details["embed"],
    }


def introduction(params: Params, manifest: Manifest, metrics: sections.Metrics) -> str:
    splits = metrics["splits"]
    classes = f"{len(manifest.classes)} class{'es' * (len(manifest.classes) != 1)}"
    return (
        f"{len(manifest.keys):,} images in {classes} from {params.data.source}: {splits['train']:,} to learn from, "
        f"{splits['valid']:,} to choose by, {splits['test']:,} to measure with"
    )


def settings(params: Params) -> dict[str, object]:
    """The parameters that tell runs apart the most."""
    return {
        "data.source": params.data.source,
        "backbone.name": params.backbone.name,
        "embedding.size": params.embedding.size,
        "embedding.visual_size": params.embedding.visual_size,
        "embedding.visual_weight": params.embedding.visual_weight,
        "train.loss": params.train.loss,
        "train.lr": params.train.lr,
        "train.epochs": params.train.epochs,
        "ann.trees": params.ann.trees,
    }


def read_pictures(folder: Path) -> list[np.ndarray]:
    return [read_image_file(path) for path in sorted(folder.glob("*.png"))]


def read_columns(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def classes_section() -> Section:
    pairs = [(row["actual"], row["nearest"]) for row in read_columns(PLOTS / "confusion.csv")]
    return sections.classes_section(read_columns(PLOTS / "per_class.csv"), pairs)


def audit_section() -> Section:
    sheets = {path.stem: read_image_file(path) for path in sorted((PLOTS / "audit").glob("*.png"))}
    return sections.audit_section(read_findings(FINDINGS), sheets)


def map_section(manifest: Manifest) -> Section:
    previews = Previews(PREVIEWS)
    return sections.map_section(manifest, np.load(MAP)["all"], previews.__getitem__)


def training_section(best_epoch: int | None) -> Section:
    rows = read_columns(METRICS / "history.csv")
    history = {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}
    return sections.training_section(history, best_epoch)


def foreign_section() -> Section:
    refused = [(row["images"], float(row["refused"])) for row in read_columns(PLOTS / "novelty.csv")]
    return sections.foreign_section(refused)


if __name__ == "__main__":
    run_stage(main)
