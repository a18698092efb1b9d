"""Stage `report`: put all that a run has found on one page, with pictures, to look at and to hand on."""

from pipeline.inputs import check_rows, read_metrics_file
from pipeline.stage import counted, run_stage

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.files import Outputs
from similarity.data.images.previews import Previews
from similarity.findings.finding import read_findings
from similarity.layout import DETAILS, FINDINGS, HISTORY, MANIFEST, MAP, PLOTS, PREVIEWS, REPORT, SPLITS
from similarity.params import Params
from similarity.reporting import page

DETAILED = ("scan", "ann", "novelty", "baselines", "evaluate", "audit")


def main(params: Params, outputs: Outputs) -> None:
    manifest, positions = read_manifest(MANIFEST), np.load(MAP)["all"]
    splits = {split: len(rows) for split, rows in read_splits(SPLITS, manifest).items()}
    check_rows(MAP, len(positions), manifest)
    metrics = {name: read_metrics_file(DETAILS / f"{name}.json") for name in DETAILED}
    history = read_rows(HISTORY)
    curves = {name: [float(row[name]) for row in history] for name in (history[0] if history else {})}
    confused = [(row["actual"], row["nearest"]) for row in read_rows(PLOTS / "confusion.csv")]
    refused = [(row["images"], float(row["refused"])) for row in read_rows(PLOTS / "novelty.csv")]
    text = page.render_page(
        "Image similarity",
        introduction(params, manifest, splits),
        page.headline(metrics),
        [
            page.baselines_section(metrics),
            page.queries_section(list(read_pictures(PLOTS / "queries").values())),
            *([page.classes_section(read_rows(PLOTS / "per_class.csv"), confused)] if confused else []),
            page.edits_section(metrics["evaluate"]["likeness"]),
            page.audit_section(read_findings(FINDINGS), read_pictures(PLOTS / "audit")),
            page.map_section([each.label for each in manifest.records], positions, Previews(PREVIEWS).__getitem__),
            page.training_section(curves),
            page.novelty_section(refused),
            page.figures_section(metrics),
        ],
    )
    outputs.file(REPORT).write_text(text, encoding="utf-8", errors="replace")
    print(f"report: {REPORT}, a page of {len(text) / 1e6:.1f} MB")


def introduction(params: Params, manifest: Manifest, splits: dict[str, int]) -> str:
    return (
        f"{len(manifest.keys):,} images in {counted(len(manifest.classes), 'class')} from {params.data.source}: "
        f"{splits['train']:,} training, {splits['valid']:,} validation, {splits['test']:,} test"
    )


def read_pictures(folder: Path) -> dict[str, Image.Image]:
    return {path.stem: Image.open(path) for path in sorted(folder.glob("*.png"))}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    run_stage(main)
