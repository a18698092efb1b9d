"""The table of the faults that tests have injected, by kinds, and how many were survived."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Protocol

import pytest

PROPERTY = "faults"
HEADER = ("kind of fault", "injected", "survived", "command")


class RecordFaults(Protocol):
    """Notes that a test injects faults of a kind, all of which are survived if it passes."""

    def __call__(self, kind: str, count: int = 1) -> None: ...


def table_of(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """The lines of a Markdown table with the faults of all reports."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for report in reports:
        for name, value in report.user_properties:
            if name != PROPERTY or not isinstance(value, tuple | list):  # a list when it comes from another process
                continue
            kind, count = value
            row = counts[kind, report.nodeid.split("::")[0]]
            row[0] += count
            row[1] += count * report.passed
    if counts:
        yield f"| {' | '.join(HEADER)} |"
        yield "|---|--:|--:|---|"
    for (kind, file), (injected, survived) in sorted(counts.items()):
        yield f"| {kind} | {injected:,} | {survived:,} | `python -m pytest {file}` |"
