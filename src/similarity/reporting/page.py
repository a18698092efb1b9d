"""The sections of the report, failures first: a page that needs nothing but itself, without any script."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from similarity.data.dataset.manifest import Manifest
from similarity.findings.finding import Finding, explain
from similarity.reporting import charts, markup
from similarity.reporting.album import Album, Query
from similarity.reporting.markup import Bar, Section, Tile, paragraph, table

MOST_CONFUSED = 40  # classes that a confusion matrix is shown of
_MOST_BARS, _MOST_LISTED, _MOST_POINTS = 60, 10, 5000
_FAILURES, _QUERIES = 6, 6
_WRONG = 0.5  # P@10 below which a query has failed
_BASELINES = {"features": "bare features", "pixels": "raw pixels", "color_histogram": "color histogram"}
_SCORES = {
    "p_at_1": "class of the nearest (P@1)",
    "p_at_10": "of the ten nearest (P@10)",
    "map_at_r": "MAP@R",
    "same_image_at_1": "original first",
    "same_image_at_10": "original within ten",
}
Metrics = Mapping[str, Mapping[str, Any]]
"""The figures of each stage, by its name."""


def headline(metrics: Metrics) -> list[Tile]:
    """Choose the figures that come first; without classes, those that need no labels."""
    evaluated, novelty, audit = metrics["evaluate"], metrics["novelty"], metrics["audit"]
    meanings = {
        "p_at_10": "of the ten nearest images have the query's class (P@10)",
        "test_accuracy": "of the test images are classified right",
    }
    tiles = []
    for name, meaning in meanings.items():
        if name in evaluated:
            bounds = evaluated["intervals"][name]
            note = f"95 % interval {bounds['low']:.3f}–{bounds['high']:.3f}"
            tiles.append(Tile(f"{evaluated[name]:.3f}", meaning, note))
    if "p_at_10" in evaluated.get("unseen", {}):
        meaning = "of the ten nearest have the query's class among images that nothing was learned from"
        tiles.insert(
            0, Tile(f"{evaluated['unseen']['p_at_10']:.3f}", meaning, "test images among the other test images")
        )
    likeness, ann = evaluated["likeness"], metrics["ann"]
    edited = f"{likeness['queries']:,} test images, each edited in {len(likeness['edits'])} ways"
    true, candidates = f"of the true {ann['k']} nearest are in the approximate index's answer", ann["search_k"]
    labels = f"{audit['wrong_label']:,} of {audit['labels_judged']:,} labels are probably wrong"
    return [
        *tiles,
        Tile(f"{likeness['same_image_at_1']:.3f}", "of edited images find their original first", edited),
        Tile(f"{ann['recall_at_k']:.3f}", true, f"{candidates:,} candidates per query"),
        Tile(*refusals(novelty), f"{novelty['accepted']:.3f} of the test images are accepted"),
        Tile(f"{audit['findings']:,}", "findings of the audit", labels),
    ]


def refusals(novelty: Mapping[str, float]) -> tuple[str, str]:
    """Describe what is refused as new: of a class that is not indexed, or without classes, of drawn patterns."""
    if "refused_held_out" in novelty:
        return f"{novelty['refused_held_out']:.3f}", "of the images of a class that is not indexed are refused as new"
    return f"{novelty['refused']:.3f}", "of drawn patterns are refused as new"


def failures_section(queries: Sequence[Query], findings: Sequence[Finding], album: Album) -> Section:
    """Show what went wrong: the queries that most surely failed, duplicates across classes, and wrong labels."""
    failed = [each for each in queries if each.p_at_10 is not None and each.p_at_10 < _WRONG]
    failed.sort(key=lambda each: (each.p_at_10, -each.wrong_cosine, each.key))
    across, wrong = [each for each in findings if each.is_across_classes], _of_kind(findings, "wrong_label")
    parts = []
    if failed:
        parts.append(f"<h3>Failed queries: {len(failed):,} of {len(queries):,} test images</h3>")
        parts.append(paragraph("Most of their ten nearest training images have other classes; the surest first."))
        parts += [album.show(each) for each in failed[:_FAILURES]]
    if across:
        parts.append(f"<h3>Duplicates in different classes: {len(across):,}</h3>{album.show_findings(across)}")
    if wrong:
        parts.append(f"<h3>Labels that are probably wrong: {len(wrong):,}</h3>{album.show_findings(wrong)}")
    nothing = "No query failed, no duplicates are in different classes, and no label seems to be wrong."
    return Section("Look at these first", "".join(parts) or paragraph(nothing))


def classes_section(
    counts: Mapping[str, Sequence[int]], per_class: Mapping[str, Mapping[str, str]], pairs: Sequence[tuple[str, str]]
) -> Section:
    """List the classes, the hardest first, and show which is mistaken for which.

    Args:
        counts: the images of each class: training, validation, test.
        per_class: the scores of the classes that have queries.
        pairs: the class of each query and that of its nearest image.
    """
    confused = Counter(pair for pair in pairs if pair[0] != pair[1])
    rows = []
    for name in sorted(counts, key=lambda each: (float(per_class.get(each, {}).get("p_at_10", 2)), each)):
        figures, mistaken = per_class.get(name), [pair for pair in confused if pair[0] == name]
        most = max(mistaken, key=lambda pair: (confused[pair], pair[1]), default=None)
        rows.append(
            [
                name,
                *(f"{count:,}" for count in (sum(counts[name]), *counts[name])),
                Bar(float(figures["p_at_10"])) if figures else "",
                f"{float(figures['p_at_10_low']):.2f}–{float(figures['p_at_10_high']):.2f}" if figures else "",
                f"{most[1]} ({confused[most]:,})" if most else "",
            ]
        )
    header = ("class", "images", "training", "validation", "test", "P@10", "95 % interval", "most often mistaken for")
    names = sorted({name for pair in pairs for name in pair})
    content = table(header, rows[:_MOST_BARS]) + _rest(rows, "metrics/plots/per_class.csv")
    if 1 < len(names) <= MOST_CONFUSED:
        matrix = np.zeros((len(names), len(names)), np.int64)
        np.add.at(matrix, tuple(np.array([[names.index(name) for name in pair] for pair in pairs]).T), 1)
        note = "Rows are the classes of queries, columns those of their nearest images; the numbers count queries."
        content += "<h3>Confusion matrix</h3>" + paragraph(note) + markup.confusion(names, matrix)
    return Section("Classes", content)


def baselines_section(metrics: Metrics) -> Section:
    """Compare the model with what it has to beat."""
    evaluated, likeness = metrics["evaluate"], metrics["evaluate"]["likeness"]
    compared = {"this model": {**evaluated, **likeness}, "its class part alone": likeness.get("class_part", {})}
    compared |= {text: metrics["baselines"][name] for name, text in _BASELINES.items()}
    rows = (
        [name, *(Bar(figures[score]) if score in figures else "" for score in _SCORES)]
        for name, figures in compared.items()
        if figures
    )
    return Section("Baselines", table(["compared by", *_SCORES.values()], rows))


def queries_section(queries: Sequence[Query], album: Album) -> Section:
    """Show some queries, evenly chosen, with their neighbors."""
    note = (
        "A test image, then its nearest training images with their likeness, 0 to 100. Red frames are other classes. "
        f"A picture links to the search page at {markup.PAGE}, which “similarity serve” starts."
    )
    chosen = np.unique(np.linspace(0, len(queries) - 1, _QUERIES + 2).round().astype(int)[1:-1])
    return Section("Queries", paragraph(note) + "".join(album.show(queries[i]) for i in chosen.tolist()))


def edits_section(likeness: Mapping[str, Any]) -> Section:
    """Show how surely an edited image finds its original, by the kind of edit."""
    note = (
        f"{likeness['queries']:,} test images were edited in everyday ways and looked for among all indexed images: "
        "the share that finds its original first, and within the first ten (paler)."
    )
    rows = []
    for name, each in likeness["edits"].items():
        within = each["same_image_at_10"]
        rows.append((name.replace("_", " "), Bar(each["same_image_at_1"], within), f"{within:.3f}"))
    return Section("Edited images", paragraph(note) + table(("edit", "original first", "within ten"), rows))


def novelty_section(refused: Sequence[tuple[str, float]]) -> Section:
    """Show which share of unrelated images is refused, by their kind."""
    note = (
        "“Drawn” are pictures that the program draws, unlike all in the data; “held out” are the images of a class, if "
        "that class were not indexed."
    )
    rows = [(name, Bar(share)) for name, share in refused]
    content = table(("images", "share refused"), rows[:_MOST_BARS]) + _rest(rows, "metrics/plots/novelty.csv")
    return Section("Unrelated images", paragraph(note) + content)


def audit_section(findings: Sequence[Finding]) -> Section:
    """List the worst findings of each kind."""
    if not findings:
        return Section("Audit of the data", paragraph("Nothing seems to be wrong with images or labels."))
    parts = [paragraph("The worst of each kind; all are in data/findings.csv. Look before you delete anything.")]
    for kind, count in Counter(each.finding for each in findings).items():
        worst = [(each.path or each.label, explain(each)) for each in _of_kind(findings, kind)[:_MOST_LISTED]]
        title = f"{kind.replace('_', ' ').capitalize()}: {count:,}"
        parts.append(markup.folded(title, table(("image or class", "finding"), worst)))
    return Section("Audit of the data", "".join(parts))


def map_section(manifest: Manifest, positions: np.ndarray) -> Section:
    """Draw a map of the images as points by class, evenly chosen where there are many."""
    rows = np.unique(np.linspace(0, len(positions) - 1, _MOST_POINTS).astype(int))
    dots = charts.points(positions[rows], [manifest.records[row].label for row in rows.tolist()])
    note = f"Similar images lie near each other; the axes mean nothing. {markup.PAGE}?view=map shows their pictures."
    return Section("Map", paragraph(note) + markup.chart(dots, "Map of the images by class"))


def training_section(history: Mapping[str, Sequence[float]]) -> Section:
    """Draw the curves of the training; there are none if nothing was learned."""
    if not history:
        return Section("Training", paragraph("There are fewer than two classes, so nothing was learned from labels."))
    return Section("Training", markup.chart(charts.curves(history), "Loss and accuracy by epoch"))


def figures_section(metrics: Metrics) -> Section:
    """List every figure."""
    rows = ((stage, name, f"{value:g}") for stage, figures in metrics.items() for name, value in markup.flat(figures))
    return Section("All metrics", markup.folded("show them", table(("stage", "metric", "value"), rows)))


def class_counts(manifest: Manifest, splits: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Count the images of each class in each split."""
    counted = [Counter(manifest.records[row].label for row in rows.tolist()) for rows in splits.values()]
    return {name: [each[name] for each in counted] for name in manifest.folders}


def _of_kind(findings: Sequence[Finding], kind: str) -> list[Finding]:
    return [each for each in findings if each.finding == kind]


def _rest(rows: Sequence[object], place: str) -> str:
    """Say where the rest of a list is, if only a part of it is shown."""
    return paragraph(f"{_MOST_BARS} of {len(rows):,} are shown; all are in {place}") if len(rows) > _MOST_BARS else ""
