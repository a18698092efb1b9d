"""The report: a page that needs nothing but itself. Pictures and style are in it, and no script."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from similarity.findings.finding import Finding, explain
from similarity.reporting import charts

_TEMPLATE = Path(__file__).with_name("page.html")
_QUALITY = 75
_MOST_BARS, _MOST_CONFUSED, _MOST_LISTED, _MOST_POINTS = 40, 30, 10, 2000
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


class Section(NamedTuple):
    """A part of a page: its title, and its content as HTML."""

    title: str
    content: str


class Tile(NamedTuple):
    """A headline figure: its value, what it is, and how far it can be trusted."""

    value: str
    meaning: str
    note: str


def render_page(title: str, introduction: str, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """Put a page together, with links to its sections; title and introduction are plain text."""
    numbered = [(f"section-{number}", escape(each.title), each.content) for number, each in enumerate(sections, 1)]
    links = (f'<a href="#{name}">{heading}</a>' for name, heading, _ in numbered)
    parts = (f'<section id="{name}"><h2>{heading}</h2>\n{content}</section>' for name, heading, content in numbered)
    figures = (f"<li><b>{escape(t.value)}</b>{escape(t.meaning)}<small>{escape(t.note)}</small></li>" for t in tiles)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        introduction=escape(introduction),
        links=" ".join(links),
        tiles="".join(figures),
        sections="\n".join(parts),
    )


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
    likeness, ann = evaluated["likeness"], metrics["ann"]
    edited = f"{likeness['queries']:,} test images, each edited in {len(likeness['edits'])} ways"
    true, candidates = f"of the true {ann['k']} nearest are in the approximate index's answer", ann["search_k"]
    accepted = f"{novelty['accepted']:.3f} of the test images are accepted"
    labels = f"{audit['wrong_label']:,} of {audit['labels_judged']:,} labels are probably wrong"
    return [
        *tiles,
        Tile(f"{likeness['same_image_at_1']:.3f}", "of edited images find their original first", edited),
        Tile(f"{ann['recall_at_k']:.3f}", true, f"{candidates:,} candidates per query"),
        Tile(f"{novelty['refused']:.3f}", "of unrelated images are refused as new", accepted),
        Tile(f"{audit['findings']:,}", "findings of the audit", labels),
    ]


def baselines_section(metrics: Metrics) -> Section:
    """Compare the model with what it has to beat."""
    evaluated, likeness = metrics["evaluate"], metrics["evaluate"]["likeness"]
    compared = {"this model": {**evaluated, **likeness}, "its class part alone": likeness.get("class_part", {})}
    compared |= {text: metrics["baselines"][name] for name, text in _BASELINES.items()}
    rows = (
        [name, *(f"{figures[score]:.3f}" if score in figures else "" for score in _SCORES)]
        for name, figures in compared.items()
        if figures
    )
    return Section("Baselines", _table(["compared by", *_SCORES.values()], rows))


def queries_section(sheets: Sequence[Image.Image]) -> Section:
    """Show queries with their neighbors."""
    note = (
        "A test image on the left, then its nearest training images with their cosines; red frames are other classes."
    )
    rows = (picture(sheet, f"Query {number}", wide=True) for number, sheet in enumerate(sheets, 1))
    return Section("Queries", _paragraph(note) + "".join(rows))


def training_section(history: Mapping[str, Sequence[float]]) -> Section:
    """Draw the curves of the training; they are empty if nothing was learned."""
    if not history:
        return Section("Training", _paragraph("There are fewer than two classes, so nothing was learned from labels."))
    best_epoch = int(np.argmin(history["val_loss"])) + 1
    note = f"Epoch {best_epoch} was kept: its validation loss is the lowest."
    drawn = _chart(charts.curves(history, best_epoch), "Loss and accuracy by epoch")
    return Section("Training", _paragraph(note) + drawn)


def classes_section(per_class: Sequence[Mapping[str, str]], pairs: Sequence[tuple[str, str]]) -> Section:
    """Draw the classes, the hardest first, and which is mistaken for which, by rows of two tables of plots."""
    hardest = sorted(per_class, key=lambda row: (float(row["p_at_10"]), row["class"]))
    shown, names = hardest[:_MOST_BARS], sorted({name for pair in pairs for name in pair})
    shares = np.array([[float(row[name]) for name in ("p_at_10", "p_at_10_low", "p_at_10_high")] for row in shown])
    confused = Counter(pair for pair in pairs if pair[0] != pair[1])
    worst = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:_MOST_LISTED]
    taken = [(actual, nearest, f"{count:,}") for (actual, nearest), count in worst]
    header = ("class of the query", "class of its nearest image", "queries")
    left = _chart(charts.bars([row["class"] for row in shown], shares), "P@10 of each class")
    right = _table(header, taken) if taken else _paragraph("The nearest image of every query has the query's class.")
    if len(names) <= _MOST_CONFUSED:
        right = _chart(charts.confusion(names, pairs), "Classes of queries and of their nearest images") + right
    note = _paragraph("P@10 of each class with its 95 % interval, the hardest classes first.")
    return Section("Classes", note + _columns(left + _rest(per_class, shown, "metrics/plots/per_class.csv"), right))


def edits_section(likeness: Mapping[str, Any]) -> Section:
    """Show how surely an edited image finds its original, by the kind of edit."""
    edits = likeness["edits"]
    first, within = (np.array([each[f"same_image_at_{count}"] for each in edits.values()]) for count in (1, 10))
    note = (
        f"{likeness['queries']:,} test images were edited in everyday ways and looked for among all indexed images. "
        "The bar is the share that finds its original first, the paler bar within the first ten."
    )
    names = [name.replace("_", " ") for name in edits]
    rows = zip(names, (f"{value:.3f}" for value in first), (f"{value:.3f}" for value in within), strict=True)
    numbers = _table(("edit", "original first", "within ten"), rows)
    drawn = _chart(charts.bars(names, first, within), "Originals found, by edit")
    return Section("Edited images", _paragraph(note) + _columns(drawn, numbers))


def novelty_section(refused: Sequence[tuple[str, float]]) -> Section:
    """Show which share of unrelated images is refused, by their kind."""
    shown = refused[:_MOST_BARS]
    note = (
        "“Drawn” are pictures that the program draws, unlike all in the data; “held out” are the images of a class, if "
        "that class were not indexed."
    )
    drawn = charts.bars([name for name, _ in shown], np.array([share for _, share in shown]))
    rest = _rest(refused, shown, "metrics/plots/novelty.csv")
    return Section("Unrelated images", _paragraph(note) + _chart(drawn, "Share refused") + rest)


def audit_section(findings: Sequence[Finding], sheets: Mapping[str, Image.Image]) -> Section:
    """List the worst findings of each kind, with pictures where there are some."""
    if not findings:
        return Section("Audit of the data", _paragraph("Nothing seems to be wrong with images or labels."))
    note = "The worst of each kind come first; all are in data/findings.csv. Look before you delete anything."
    parts = [_paragraph(note)]
    for kind, count in Counter(each.finding for each in findings).items():
        title = kind.replace("_", " ").capitalize()
        worst = [(each.path or each.label, explain(each)) for each in findings if each.finding == kind][:_MOST_LISTED]
        parts.append(f"<h3>{escape(title)}: {count:,}</h3>")
        if kind in sheets:
            parts.append(picture(sheets[kind], f"{title}, the worst ones"))
        parts.append(_folded("names" if kind in sheets else "which", _table(("image or class", "finding"), worst)))
    return Section("Audit of the data", "".join(parts))


def map_section(labels: Sequence[str], positions: np.ndarray, picture_of: Callable[[int], np.ndarray]) -> Section:
    """Draw a map as points by class, evenly chosen where there are many, and as pictures; see `charts.collage`."""
    rows = np.unique(np.linspace(0, len(positions) - 1, _MOST_POINTS).astype(int))
    dots = charts.points(positions[rows], [labels[row] for row in rows.tolist()])
    pictures = picture(charts.collage(positions, picture_of), "Map of the images in pictures")
    note = "Similar images lie near each other; the axes mean nothing. In each place of the right map is one image."
    return Section("Map", _paragraph(note) + _columns(_chart(dots, "Map of the images by class"), pictures))


def figures_section(metrics: Metrics) -> Section:
    """List every figure."""
    rows = ((stage, name, f"{value:g}") for stage, figures in metrics.items() for name, value in _flat(figures))
    return Section("All metrics", _folded("show them", _table(("stage", "metric", "value"), rows)))


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """List nested figures by their names, joined with dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _rest(rows: Sequence[object], shown: Sequence[object], place: str) -> str:
    """Say where the rest of a list is, if only a part of it is shown."""
    return _paragraph(f"{len(shown)} of {len(rows):,} are shown; all are in {place}") if len(rows) > len(shown) else ""


def _paragraph(text: str) -> str:
    """Format plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table of plain texts."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _folded(summary: str, content: str) -> str:
    """Format HTML that is shown when its summary, plain text, is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _columns(*parts: str) -> str:
    """Put parts, as HTML, side by side where there is room."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def _chart(svg: bytes, description: str) -> str:
    """Embed a chart."""
    address = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f'<img class="chart" src="{address}" alt="{escape(description)}">'


def picture(image: Image.Image, description: str, wide: bool = False) -> str:
    """Embed a picture as WebP; a wide one scrolls on small screens."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY)
    address = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    # What scrolls must be reached with the keyboard as well.
    attributes = f'class="wide" tabindex="0" aria-label="{escape(description)}"' if wide else ""
    return f'<figure {attributes}><img src="{address}" alt="{escape(description)}"></figure>'
