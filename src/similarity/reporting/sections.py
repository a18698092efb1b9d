"""What a report says of a run, from the figures and pictures that the run has left."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.findings.finding import Finding
from similarity.reporting.charts import (
    Bar,
    Point,
    bar_table,
    color_by_class,
    legend,
    line_chart,
    scatter,
)
from similarity.reporting.collage import draw_collage, place_images
from similarity.reporting.page import Section, Tile, beside, folded, jpeg_address, paragraph, sheet, table

_MOST_BARS, _MOST_CONFUSIONS, _MOST_FINDINGS, _MOST_SHEETS = 40, 10, 10, 10
_MOST_POINTS = 2000
_CELLS, _CELL_SIZE = 24, 40
_CHANGES = {"jpeg": "compressed as JPEG", "half_size": "half the size"}
_BASELINES = {"color_histogram": "color histogram", "pixels": "raw pixels", "features": "bare features"}
_FINDINGS = {
    "duplicate": ("Duplicates", "The same bytes; those of two classes come first."),
    "near_duplicate": ("Near duplicates", "Nearly the same pixels; those of two classes come first."),
    "wrong_label": ("Wrong labels", "Probably of another class; the score is the probability."),
    "doubtful_label": ("Doubtful labels", "Perhaps of another class; the score is the probability."),
    "outlier": ("Outliers", "Unlike all others; the score is the mean distance to the ten nearest."),
    "odd": ("Odd images", "Nearly one color, or of another size or shape than most."),
    "unreadable": ("Unreadable files", "These could not be decoded and are left out."),
    "class_not_judged": ("Classes whose labels were not judged", "They are too small, or their images too much alike."),
    "class_imbalance": ("Small classes", "They have a tenth of the median class's images, or less."),
}

Metrics = Mapping[str, Mapping[str, Any]]
"""The content of the metrics files, by their names."""


def headline(metrics: Metrics) -> list[Tile]:
    """The figures that come first, with what each is to be compared with."""
    return [*_retrieval_tiles(metrics), *_likeness_tiles(metrics), *_other_tiles(metrics)]


def _retrieval_tiles(metrics: Metrics) -> Iterator[Tile]:
    figures, baselines = metrics["retrieval"], metrics["baselines"]
    if not figures:
        return
    others = [f"{text} {_share(baselines[name], 'p_at_10')}" for name, text in list(_BASELINES.items())[:2]]
    yield Tile(
        _share(figures, "p_at_10"),
        "of the ten nearest images have the query's class",
        f"P@10, {_interval(figures, 'p_at_10')}; {', '.join(others)}",
    )
    yield Tile(
        _share(figures, "p_at_1"),
        "of the images that come first have the query's class",
        f"P@1, {_interval(figures, 'p_at_1')}",
    )
    yield Tile(
        _share(figures, "test_accuracy"),
        "of the test images are classified right",
        f"accuracy, {_interval(figures, 'test_accuracy')}",
    )


def _likeness_tiles(metrics: Metrics) -> Iterator[Tile]:
    figures, baselines = metrics["likeness"], metrics["baselines"]
    others = [f"{text} {_share(baselines[name], 'same_image_at_1')}" for name, text in _BASELINES.items()]
    if "class_part" in figures:
        others.append(f"class part alone {_share(figures['class_part'], 'same_image_at_1')}")
    yield Tile(
        _share(figures, "same_image_at_1"), "of changed images find their original first", f"{', '.join(others)}"
    )


def _other_tiles(metrics: Metrics) -> Iterator[Tile]:
    ann, threshold, audit = metrics["ann"], metrics["threshold"], metrics["audit"]
    yield Tile(
        _share(ann, "recall_at_k"),
        f"of the true {ann['k']} nearest are found by the approximate index",
        f"search_k {ann['search_k']}",
    )
    held_out = threshold.get("refused_held_out")
    classes = "" if held_out is None else f"; {held_out:.3f} of the images of a class that is not indexed"
    yield Tile(
        _share(threshold, "refused"),
        "of foreign pictures are refused as nothing similar",
        f"{threshold['accepted']:.3f} of the test images are accepted{classes}",
    )
    wrong = audit["wrong_labels"]
    yield Tile(
        f"{count_findings(audit):,}",
        "findings of the audit",
        f"{wrong:,} of {audit['labels_judged']:,} labels are probably wrong",
    )


def count_findings(audit: Mapping[str, int]) -> int:
    """How many findings the figures of an audit count; some of these figures count a part of another."""
    return sum(
        count for name, count in audit.items() if not name.endswith("_across_classes") and name != "labels_judged"
    )


def _share(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.3f}"


def _interval(figures: Mapping[str, Any], name: str) -> str:
    bounds = figures["intervals"][name]
    return f"95 % interval {bounds['low']:.3f}–{bounds['high']:.3f}"


def queries_section(pictures: Sequence[np.ndarray]) -> Section:
    """Rows of a query and its neighbors, RGB, uint8 (height, width, 3) each."""
    note = (
        "A test image on the left, then its nearest training images with their cosines; red frames are other classes."
    )
    rows = (sheet(pixels, f"Query {number}", wide=True) for number, pixels in enumerate(pictures[:_MOST_SHEETS], 1))
    return Section(
        "Queries", paragraph(note) + "".join(rows) + _rest(len(pictures), _MOST_SHEETS, "metrics/plots/queries/")
    )


def _rest(count: int, shown: int, place: str) -> str:
    return paragraph(f"{shown} of {count:,} are shown; all are in {place}") if count > shown else ""


def training_section(history: Mapping[str, Sequence[float]], best_epoch: int | None) -> Section:
    """The curves of the training, by the columns of its table; `best_epoch` was kept, None if nothing was learned."""
    if best_epoch is None:
        return Section("Training", paragraph("There are fewer than two classes, so nothing was learned from labels."))
    titles = {"loss": "Cross-entropy loss, nats", "accuracy": "Accuracy of the classifier, share of the images"}
    figures = []
    for name, title in titles.items():
        lines = {"training": history[name], "validation": history[f"val_{name}"]}
        chart = line_chart("epoch", title, lines, best_epoch)
        figures.append(f"<figure>{chart}<figcaption>{title}</figcaption></figure>")
    note = f"Epoch {best_epoch} was kept (dashed): its validation loss is the lowest."
    return Section("Training", paragraph(note) + beside(figures))


def classes_section(per_class: Sequence[Mapping[str, str]], pairs: Sequence[tuple[str, str]]) -> Section:
    """The classes, the hardest first, and which is taken for which; by rows of two tables of plots."""
    hardest = sorted(per_class, key=lambda row: (float(row["p_at_10"]), row["class"]))
    bars = [
        Bar(row["class"], *(float(row[name]) for name in ("p_at_10", "p_at_10_low", "p_at_10_high")))
        for row in hardest[:_MOST_BARS]
    ]
    confused = Counter(pair for pair in pairs if pair[0] != pair[1])
    worst = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CONFUSIONS]
    taken = [(actual, nearest, f"{count:,}") for (actual, nearest), count in worst]
    parts = [
        bar_table(("class", "P@10, with its 95 % interval"), bars)
        + _rest(len(hardest), _MOST_BARS, "metrics/plots/per_class.csv"),
        table(("class of the query", "class of its nearest image", "queries"), taken)
        if taken
        else paragraph("The nearest image of every query has the query's class."),
    ]
    return Section("Classes", paragraph("The hardest classes come first.") + beside(parts))


def likeness_section(likeness: Mapping[str, Any]) -> Section:
    """How surely a changed image finds its original, by change."""
    bars = [
        Bar(_CHANGES.get(name, name), found["same_image_at_1"], beyond=found["same_image_at_10"])
        for name, found in likeness["changes"].items()
    ]
    note = (
        f"{likeness['queries']:,} test images were changed in everyday ways and looked for among all indexed images. "
        "The bar is the share that finds its original first, the paler bar within the first ten."
    )
    return Section("Likeness", paragraph(note) + bar_table(("change", "original found"), bars))


def foreign_section(refused: Sequence[tuple[str, float]]) -> Section:
    """Which share of foreign pictures is refused, by their kind."""
    bars = [Bar(name, share) for name, share in refused[:_MOST_BARS]]
    note = (
        "“Drawn” are pictures that the program draws, unlike all in the data; “held out” are the images of a class, if "
        "that class were not indexed."
    )
    rest = _rest(len(refused), _MOST_BARS, "metrics/plots/threshold.csv")
    return Section("Foreign images", paragraph(note) + bar_table(("images", "refused"), bars) + rest)


def audit_section(findings: Sequence[Finding], sheets: Mapping[str, np.ndarray]) -> Section:
    """The worst findings of each kind, with pictures where there are some, RGB, uint8 (height, width, 3)."""
    if not findings:
        return Section(
            "Audit of the data", paragraph("Nothing was found that is probably wrong with images or labels.")
        )
    parts = [
        paragraph("The worst of each kind come first; all are in data/audit.csv. Look before you delete anything.")
    ]
    counts = Counter(finding.finding for finding in findings)
    for kind, count in counts.items():
        title, note = _FINDINGS[kind]
        parts.append(f"<h3>{title}: {count:,}</h3>{paragraph(note)}")
        if kind in sheets:
            parts.append(sheet(sheets[kind], f"{title}, the worst ones", wide=False))
        worst = [finding for finding in findings if finding.finding == kind][:_MOST_FINDINGS]
        parts.append(folded("names" if kind in sheets else "which", _findings_table(worst)))
    return Section("Audit of the data", "".join(parts))


def _findings_table(findings: Sequence[Finding]) -> str:
    columns = [name for name in Finding._fields[1:] if any(getattr(each, name) for each in findings)]
    return table(
        [name.replace("_", " ") for name in columns], ([getattr(each, name) for name in columns] for each in findings)
    )


def map_section(manifest: Manifest, positions: np.ndarray, picture_of: Callable[[int], np.ndarray]) -> Section:
    """All images in the plane: as points by class, evenly chosen where there are many, and as pictures.

    Args:
        manifest: of the images.
        positions: of each, in the unit square, y upwards, float32 (n, 2).
        picture_of: gives the pixels of an image by its row, RGB, uint8 (height, width, 3).
    """
    coloring = color_by_class(manifest.labels, manifest.classes)
    rows = np.unique(np.linspace(0, len(positions) - 1, _MOST_POINTS).astype(int)).tolist()
    points = [Point(float(positions[row, 0]), float(positions[row, 1]), manifest.keys[row]) for row in rows]
    dots = scatter(points, coloring.colors[rows].tolist())
    placed = place_images(positions, _CELLS)
    collage = jpeg_address(draw_collage(placed, _CELLS, _CELL_SIZE, picture_of))
    cells = "".join(f"M{each.column} {each.line}h1v1h-1z" for each in placed)  # the others stay free
    pictures = (
        f'<svg class="map" viewBox="-.2 -.2 {_CELLS + 0.4} {_CELLS + 0.4}" role="img" aria-label="Map of the images in '
        f'pictures"><clipPath id="cells"><path d="{cells}"/></clipPath><image href="{collage}" width="{_CELLS}" '
        f'height="{_CELLS}" clip-path="url(#cells)"/></svg>'
    )
    captions = (legend(coloring), "In each place, the image nearest to its middle.")
    figures = (
        f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"
        for drawn, caption in zip((dots, pictures), captions, strict=True)
    )
    return Section("Map", paragraph("Similar images lie near each other; the axes mean nothing.") + beside(figures))


def figures_section(metrics: Metrics, settings: Mapping[str, object]) -> Section:
    """Every figure of the metrics files, and the parameters that tell runs apart the most."""
    rows = [(f"metrics/{file}.json", name, f"{value:g}") for file in metrics for name, value in _flat(metrics[file])]
    chosen = [(name, f"{value}") for name, value in settings.items()]
    content = table(("parameter", "value"), chosen) + folded("all metrics", table(("file", "metric", "value"), rows))
    return Section("Parameters and metrics", content)


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
