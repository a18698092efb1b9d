"""What the report shows, chosen and counted, for the templates next to this module."""

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PLACE_OF_RUN = "<!-- this run -->"
"""Where the report has room for what is true of one run only."""
MOST_CONFUSED = 40  # classes that a confusion matrix is shown of
_SHOWN_QUERIES = 6
_WRONG = 0.5  # P@10 below which a query has failed
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.globals["search_page"] = "http://127.0.0.1:8000/"  # of `similarity serve`


class Query(NamedTuple):
    """A test image and its nearest training images, best first, with their cosines; its P@10 if it was scored."""

    key: str
    neighbors: list[tuple[str, float]]
    p_at_10: float | None = None


def render(template: str, **content: object) -> str:
    """Fill in a template; texts are plain and are escaped there."""
    return _TEMPLATES.get_template(template).render(content)


def embed(content: bytes, kind: str) -> str:
    """Return an address that holds its content."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def read_queries(table: str, scores: Mapping[str, float] = MappingProxyType({})) -> list[Query]:
    """Read the test images with their neighbors, by the text of the table that `evaluate` wrote."""
    rows = groupby(csv.DictReader(io.StringIO(table)), itemgetter("path"))
    return [
        Query(key, [(row["neighbor"], float(row["cosine"])) for row in found], scores.get(key)) for key, found in rows
    ]


def failures(queries: Sequence[Query]) -> list[Query]:
    """List the queries most of whose neighbors have other classes, those with the highest cosines to these first."""
    found = []
    for each in queries:
        if each.p_at_10 is not None and each.p_at_10 < _WRONG:
            wrong = [cosine for key, cosine in each.neighbors if _label(key) != _label(each.key)]
            found.append((each.p_at_10, -float(np.mean(wrong or [-1])), each.key, each))
    return [each for *_, each in sorted(found)]


def some(queries: Sequence[Query]) -> list[Query]:
    """Choose a few queries evenly."""
    chosen = np.unique(np.linspace(0, len(queries) - 1, _SHOWN_QUERIES + 2).round().astype(int)[1:-1])
    return [queries[i] for i in chosen.tolist()]


def describe_classes(
    counts: Mapping[str, Sequence[int]], per_class: Mapping[str, Mapping[str, str]], pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """List the classes, the hardest first, with their counts, scores, and what they are most often mistaken for.

    Args:
        counts: the images of each class: training, validation, test.
        per_class: the scores of the classes that have queries.
        pairs: the class of each query and that of its nearest image.
    """
    confused, rows = Counter(pair for pair in pairs if pair[0] != pair[1]), []
    for name in sorted(counts, key=lambda each: (float(per_class.get(each, {}).get("p_at_10", 2)), each)):
        mistaken = [(count, nearest) for (actual, nearest), count in confused.items() if actual == name]
        most = max(mistaken, default=None)
        rows.append({"name": name, "counts": counts[name], "scores": per_class.get(name), "mistaken": most})
    return rows


def confusion(pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Count how often the nearest image of a query of each class has each class; nothing for one class, or too many."""
    names, counts = sorted({name for pair in pairs for name in pair}), Counter(pairs)
    if not 1 < len(names) <= MOST_CONFUSED:
        return {}
    return {actual: [counts[actual, nearest] for nearest in names] for actual in names}


def flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """List nested figures by their names, joined with dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _label(key: str) -> str:
    return key.split("/")[0]
