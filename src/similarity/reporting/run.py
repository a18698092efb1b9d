"""What the report says of one run only: its name and date, and what changed since another one."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from similarity.reporting.album import Album, Query
from similarity.reporting.markup import paragraph, table

PLACE = "<!-- this run -->"
"""Where a report has room for it."""

_MOST_QUERIES = 8


class Run(NamedTuple):
    """The parameters and metrics of a run by name, and the results of its test images."""

    parameters: Mapping[str, object]
    metrics: Mapping[str, object]
    queries: Sequence[Query]


def facts_section(facts: Mapping[str, str]) -> str:
    """List what identifies a run."""
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<section id="run"><h2>This run</h2><dl>{listed}</dl></section>'


def changes_section(since: str, before: Run, now: Run, album: Album) -> str:
    """Show what changed since another run: parameters, metrics, and the queries with the most other results."""
    changed = [name for name in now.parameters if before.parameters.get(name) != now.parameters[name]]
    parameters = [(name, f"{before.parameters.get(name)}", f"{now.parameters[name]}") for name in changed]
    metrics = [_compared(name, before.metrics.get(name), value) for name, value in now.metrics.items()]
    earlier = {query.key: query for query in before.queries}
    pairs = [(earlier[new.key], new) for new in now.queries if new.key in earlier]
    shared = [(_shared(old, new), new.key, old, new) for old, new in pairs]
    moved = sorted(each for each in shared if each[0] < len(each[-1].neighbors))
    parts = [
        f'<section id="changes"><h2>Changed since {escape(since)}</h2>',
        table(("parameter", "before", "now"), parameters) if parameters else paragraph("All parameters are the same."),
        table(("metric", "before", "now", "change"), metrics),
        "<h3>Queries whose results changed most</h3>",
        paragraph(f"{len(moved):,} of {len(pairs):,} test images have other nearest images than before."),
    ]
    for count, _, old, new in moved[:_MOST_QUERIES]:
        parts.append(paragraph(f"{count} of {len(new.neighbors)} nearest are the same; before, then now:"))
        parts += [album.show(old), album.show(new)]
    return "".join([*parts, "</section>"])


def _compared(name: str, before: object, now: object) -> tuple[str, str, str, str]:
    if not isinstance(before, int | float) or not isinstance(now, int | float):
        return name, "", f"{now}", ""
    return name, f"{before:g}", f"{now:g}", f"{now - before:+g}" if now != before else ""


def _shared(old: Query, new: Query) -> int:
    """Count the nearest images of a query that it had before."""
    return len({key for key, _ in old.neighbors} & {key for key, _ in new.neighbors})
