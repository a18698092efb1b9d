"""Stage `report`: put all that a run has found on one page, with pictures, to look at and to hand on."""

from pipeline.inputs import read_metrics
from pipeline.stage import counted, run_stage

import csv
import io
from collections import Counter
from collections.abc import Callable

import numpy as np
from PIL import Image

from similarity import layout
from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.evaluation.likeness import load_likeness, words
from similarity.data.files import Outputs
from similarity.data.images.pictures import Previews
from similarity.finding import KINDS, explain, read_findings
from similarity.params import Params
from similarity.reporting import page

TABLES = (
    layout.QUERY_SCORES, layout.QUERY_NEIGHBORS, layout.HISTORY,
    *(layout.PLOTS / f"{name}.csv" for name in ("confusion", "per_class", "novelty")),
)  # fmt: skip
MOST_POINTS = 5000  # on the map
SHOWN_QUERIES = 6
QUALITY = 70  # of WebP


def main(params: Params, outputs: Outputs) -> None:
    manifest, metrics = read_manifest(layout.MANIFEST), read_metrics(layout.DETAILS)
    splits, findings = read_splits(layout.SPLITS, manifest), read_findings(layout.FINDINGS)
    tables = {path.stem: read_rows(path.read_text(encoding="utf-8")) for path in TABLES}
    scores = {row["path"]: float(row["p_at_10"]) for row in tables["query_scores"] if row["split"] == "test"}
    queries = page.collect_queries(tables["query_neighbors"], scores)
    shown = np.unique(np.linspace(0, len(queries) - 1, SHOWN_QUERIES + 2).round().astype(int)[1:-1])
    nearest = [(row["actual"], row["nearest"]) for row in tables["confusion"]]
    counts = [Counter(manifest.records[row].label for row in rows.tolist()) for rows in splits.values()]
    classes = {name: [each[name] for each in counts] for name in manifest.folders}
    per_class = {row["class"]: row for row in tables["per_class"]}
    on_map = np.unique(np.linspace(0, len(manifest.keys) - 1, MOST_POINTS).astype(int))
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
        shown_queries=[queries[i] for i in shown.tolist()],
        across=[each for each in findings if each.is_across_classes],
        wrong=of_kind["wrong_label"],
        classes=page.describe_classes(classes, per_class, nearest),
        confusion=page.confusion(nearest),
        map=page.draw_map(np.load(layout.MAP)["all"][on_map], np.array(manifest.folders)[manifest.labels[on_map]]),
        refused=tables["novelty"],
        findings={kind: listed for kind, listed in of_kind.items() if listed},
        explain=explain,
        curves=page.draw_curves(tables["history"]) if tables["history"] else "",
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


def read_rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


if __name__ == "__main__":
    run_stage(main)
