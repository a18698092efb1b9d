"""What the report shows, chosen and counted, for the templates next to this module."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from similarity.reporting.album import Query

PLACE_OF_RUN = "<!-- this run -->"
"""Where the report has room for what is true of one run only."""
MOST_CONFUSED = 40  # classes that a confusion matrix is shown of
_SHOWN_QUERIES = 6
_WRONG = 0.5  # P@10 below which a query has failed
_BASELINES = {"features": "bare features", "pixels": "raw pixels", "color_histogram": "color histogram"}
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.globals["search_page"] = "http://127.0.0.1:8000/"  # of `similarity serve`
Metrics = Mapping[str, Mapping[str, Any]]
"""The figures of each stage, by its name."""


class Tile(NamedTuple):
    """A headline figure: its value, what it is, and how far it can be trusted."""

    value: str
    meaning: str
    note: str


class ClassRow(NamedTuple):
    """A class: its images in all, in training, validation and test; its scores, if it has queries."""

    name: str
    counts: Sequence[int]
    scores: Mapping[str, str]
    mistaken_for: str


def render(template: str, **content: object) -> str:
    """Fill in a template; texts are plain and are escaped there."""
    return _TEMPLATES.get_template(template).render(content)


def headline(metrics: Metrics) -> list[Tile]:
    """Choose the figures that come first; without classes, those that need no labels."""
    evaluated, novelty, audit = metrics["evaluate"], metrics["novelty"], metrics["audit"]
    likeness, ann = evaluated["likeness"], metrics["ann"]
    tiles = []
    if "p_at_10" in evaluated.get("unseen", {}):
        meaning = "of the ten nearest have the query's class among images that nothing was learned from"
        value = f"{evaluated['unseen']['p_at_10']:.3f}"
        tiles.append(Tile(value, meaning, "test images among the other test images"))
    meanings = {
        "p_at_10": "of the ten nearest images have the query's class (P@10)",
        "test_accuracy": "of the test images are classified right",
    }
    for name in (each for each in meanings if each in evaluated):
        bounds = evaluated["intervals"][name]
        note = f"95 % interval {bounds['low']:.3f}–{bounds['high']:.3f}"
        tiles.append(Tile(f"{evaluated[name]:.3f}", meanings[name], note))
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


def failed(queries: Sequence[Query]) -> list[Query]:
    """List the queries most of whose neighbors have other classes, the surest failures first."""
    found = [(each.p_at_10, -each.wrong_cosine, each.key, each) for each in queries if each.p_at_10 is not None]
    return [each for p_at_10, _, _, each in sorted(found) if p_at_10 < _WRONG]


def some(queries: Sequence[Query]) -> list[Query]:
    """Choose a few queries evenly."""
    chosen = np.unique(np.linspace(0, len(queries) - 1, _SHOWN_QUERIES + 2).round().astype(int)[1:-1])
    return [queries[i] for i in chosen.tolist()]


def class_rows(
    counts: Mapping[str, Sequence[int]], per_class: Mapping[str, Mapping[str, str]], pairs: Sequence[tuple[str, str]]
) -> list[ClassRow]:
    """List the classes, the hardest first.

    Args:
        counts: the images of each class: training, validation, test.
        per_class: the scores of the classes that have queries.
        pairs: the class of each query and that of its nearest image.
    """
    confused, rows = Counter(pair for pair in pairs if pair[0] != pair[1]), []
    for name in sorted(counts, key=lambda each: (float(per_class.get(each, {}).get("p_at_10", 2)), each)):
        mistaken = [pair for pair in confused if pair[0] == name]
        most = max(mistaken, key=lambda pair: (confused[pair], pair[1]), default=None)
        text = f"{most[1]} ({confused[most]:,})" if most else ""
        rows.append(ClassRow(name, [sum(counts[name]), *counts[name]], per_class.get(name, {}), text))
    return rows


def confusion(pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Count how often the nearest image of a query of each class has each class; nothing for one class, or too many."""
    names, counts = sorted({name for pair in pairs for name in pair}), Counter(pairs)
    if not 1 < len(names) <= MOST_CONFUSED:
        return {}
    return {actual: [counts[actual, nearest] for nearest in names] for actual in names}


def baselines(metrics: Metrics) -> dict[str, Mapping[str, float]]:
    """Collect the scores of the model and of what it has to beat."""
    evaluated, likeness = metrics["evaluate"], metrics["evaluate"]["likeness"]
    compared = {"this model": {**evaluated, **likeness}, "its class part alone": likeness.get("class_part", {})}
    compared |= {text: metrics["baselines"][name] for name, text in _BASELINES.items()}
    return {name: figures for name, figures in compared.items() if figures}


def flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """List nested figures by their names, joined with dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
