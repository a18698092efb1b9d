"""Stage `report`: put all that a run has found on one page, with pictures, to look at and to hand on."""

from pipeline.inputs import read_metrics
from pipeline.stage import counted, run_stage

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from similarity import layout
from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.evaluation.likeness import load_likeness, words
from similarity.data.files import Outputs
from similarity.data.images.pictures import Previews
from similarity.findings.finding import KINDS, explain, read_findings
from similarity.params import Params
from similarity.reporting import charts, page

MOST_POINTS = 5000  # on the map
QUALITY = 70  # of WebP


def main(params: Params, outputs: Outputs) -> None:
    manifest, positions = read_manifest(layout.MANIFEST), np.load(layout.MAP)["all"]
    metrics = read_metrics(layout.DETAILS)
    splits, findings = read_splits(layout.SPLITS, manifest), read_findings(layout.FINDINGS)
    scores = {row["path"]: float(row["p_at_10"]) for row in read_rows(layout.QUERY_SCORES) if row["split"] == "test"}
    queries = page.read_queries(layout.QUERY_NEIGHBORS.read_text(encoding="utf-8"), scores)
    nearest = [(row["actual"], row["nearest"]) for row in read_rows(layout.PLOTS / "confusion.csv")]
    per_class = {row["class"]: row for row in read_rows(layout.PLOTS / "per_class.csv")}
    history = read_rows(layout.HISTORY)  # empty if nothing was learned
    curves = {name: [float(row[name]) for row in history] for name in (history[0] if history else {})}
    of_kind = {kind: [each for each in findings if each.finding == kind] for kind in KINDS}
    text = page.render(
        "report.html",
        images=len(manifest.keys),
        classes_text=counted(len(manifest.classes), "class"),
        source=params.data.source,
        splits={name: len(rows) for name, rows in splits.items()},
        metrics=metrics,
        **open_pictures(manifest),
        queries=queries,
        failures=page.failures(queries),
        shown_queries=page.some(queries),
        across=[each for each in findings if each.is_across_classes],
        wrong=of_kind["wrong_label"],
        classes=page.describe_classes(class_counts(manifest, splits), per_class, nearest),
        confusion=page.confusion(nearest),
        map=draw_map(manifest, positions),
        refused=read_rows(layout.PLOTS / "novelty.csv"),
        findings={kind: listed for kind, listed in of_kind.items() if listed},
        explain=explain,
        curves=page.embed(charts.curves(curves), "image/svg+xml") if curves else "",
        figures=list(page.flat(metrics)),
    )
    outputs.file(layout.REPORT).write_text(text, encoding="utf-8", errors="replace")
    print(f"report: {layout.REPORT}, a page of {len(text) / 1e6:.1f} MB")


def open_pictures(manifest: Manifest) -> dict[str, Callable]:
    """Open what templates show images with: `picture` gives the address of a key, and `in_words` says a cosine."""
    likeness, previews = load_likeness(layout.NOVELTY), Previews(layout.PREVIEWS)
    rows = {key: row for row, key in enumerate(manifest.keys)}

    def picture(key: str) -> str:
        if key not in rows:  # of an earlier run
            return ""
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(previews[rows[key]])).save(buffer, "WEBP", quality=QUALITY)
        return page.embed(buffer.getvalue(), "image/webp")

    def in_words(cosine: float) -> str:
        return f"{(value := likeness(cosine))}, {words(value)}"

    return {"picture": picture, "in_words": in_words}


def class_counts(manifest: Manifest, splits: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """Count the images of each class in each split."""
    found = [Counter(manifest.records[row].label for row in rows.tolist()) for rows in splits.values()]
    return {name: [each[name] for each in found] for name in manifest.folders}


def draw_map(manifest: Manifest, positions: np.ndarray) -> str:
    """Draw the images as points by class, evenly chosen where there are many."""
    rows = np.unique(np.linspace(0, len(positions) - 1, MOST_POINTS).astype(int))
    drawn = charts.points(positions[rows], [manifest.records[row].label for row in rows.tolist()])
    return page.embed(drawn, "image/svg+xml")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    run_stage(main)
