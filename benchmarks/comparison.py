"""The table that benchmarks print and keep, and how contenders are timed fairly."""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

HEADER = "| measured | ours | peer | ratio | limit |\n|---|--:|--:|--:|--:|"


class Row(NamedTuple):
    """One comparison.

    Attributes:
        measured: what, of which size, and who the peer is.
        ours: with its unit.
        peer: with its unit.
        ratio: ours ÷ peer.
        limit: what no program could beat on this machine, with its unit; empty if not measured.
    """

    measured: str
    ours: str
    peer: str
    ratio: float | None
    limit: str = ""


def as_table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    ratios = ("" if row.ratio is None else f"{row.ratio:.3g}" for row in rows)
    cells = ((row.measured, row.ours, row.peer, ratio, row.limit) for row, ratio in zip(rows, ratios, strict=True))
    return "\n".join([HEADER, *("| " + " | ".join(each) + " |" for each in cells)])


def processor() -> str:
    """The machine, in a line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.platform()


def describe_run() -> str:
    """Where a table comes from, Markdown: the machine, the commit, the day, and the command without folders."""
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, encoding="utf-8", check=True
    ).stdout
    arguments = " ".join(Path(argument).name if "/" in argument else argument for argument in sys.argv[1:])
    return (
        f"{processor()}; commit {commit.strip()}; {time.strftime('%Y-%m-%d')}\n\n"
        f"    python benchmarks/{Path(sys.argv[0]).name} {arguments}"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds the option that `publish` is given."""
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write what is printed as well, Markdown")


def publish(text: str, title: str, output: Path | None) -> None:
    """Prints a text, Markdown; to a file it is written below a title, with where it comes from."""
    print(text, flush=True)
    if output:
        output.write_text(f"# {title}\n\n{describe_run()}\n\n{text}\n", encoding="utf-8")


def worker() -> ProcessPoolExecutor:
    """One process that keeps its data and its threads, and sleeps between the rounds.

    In one process the libraries' thread pools would disturb each other: each spins for a while after its work.
    """
    return ProcessPoolExecutor(1, get_context("spawn"))


def median_seconds(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Times each contender once per round, one after the other, after a round that does not count.

    Args:
        contenders: what to call, by name.
        rounds: that count.

    Returns:
        The median of the seconds on the wall clock, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
