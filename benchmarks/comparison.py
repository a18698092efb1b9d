"""What all benchmarks share: options, the tables that they print and keep, and how contenders are timed fairly."""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from pipeline.stage import run_command as run_command  # noqa: E402  # found below the line above
from pipeline.stage import track as track  # noqa: E402


class Row(NamedTuple):
    """One comparison.

    Attributes:
        measured: what, how many, and who the peer is.
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


def as_markdown(columns: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """Format a Markdown table, whose first columns, `names` of them, are aligned to the left."""
    rule = "|" + "---|" * names + "--:|" * (len(columns) - names)
    return "\n".join([f"| {' | '.join(columns)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)])


HEADER = as_markdown(["measured", "ours", "peer", "ratio", "limit"], [])


def as_table(rows: Iterable[Row]) -> str:
    """Format comparisons as a Markdown table."""
    cells = ((*row[:3], "" if row.ratio is None else f"{row.ratio:.3g}", row.limit) for row in rows)
    return "\n".join([HEADER, *(f"| {' | '.join(each)} |" for each in cells)])


def processor() -> str:
    """Describe the machine in a line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.platform()


def describe_run() -> str:
    """Say where a table comes from, Markdown: the machine, the commit, the day, and the command without folders."""
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, encoding="utf-8", check=True
    ).stdout
    arguments = " ".join(Path(argument).name if "/" in argument else argument for argument in sys.argv[1:])
    return (
        f"{processor()}; commit {commit.strip()}; {time.strftime('%Y-%m-%d')}\n\n"
        f"    python benchmarks/{Path(sys.argv[0]).name} {arguments}"
    )


def make_parser(description: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """Make a parser with the option that `publish` is given, and with the number of rounds if a default is given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_output(parser)
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="that count; one more does not")
    return parser


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option that `publish` is given."""
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write what is printed as well, Markdown")


def publish(text: str, title: str, output: Path | None) -> None:
    """Print a text, Markdown; to a file it is written below a title, with where it comes from."""
    print(text, flush=True)
    if output:
        output.write_text(f"# {title}\n\n{describe_run()}\n\n{text}\n", encoding="utf-8")


def worker() -> ProcessPoolExecutor:
    """Start one process that keeps its data and its threads, and sleeps between the rounds.

    In one process the libraries' thread pools would disturb each other: each spins for a while after its work.
    """
    return ProcessPoolExecutor(1, get_context("spawn"))


def median_seconds(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time each contender once per round, one after the other, after a round that does not count.

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
