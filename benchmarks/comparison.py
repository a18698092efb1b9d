"""What all benchmarks share: options, vectors, the tables that they print and keep, and how contenders take turns."""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from pipeline.stage import run_command as run_command  # noqa: E402  # found below the line above
from pipeline.stage import track as track  # noqa: E402

from similarity.layout import EMBEDDINGS  # noqa: E402


class Row(NamedTuple):
    """One comparison: what is measured, and who the peer is; both figures with their units; ours ÷ peer."""

    measured: str
    ours: str
    peer: str
    ratio: float


def as_markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table, whose first column is aligned to the left."""
    rule = "|---|" + "--:|" * (len(columns) - 1)
    return "\n".join([f"| {' | '.join(columns)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)])


def as_table(rows: Iterable[Row]) -> str:
    """Format comparisons as a Markdown table."""
    return as_markdown(Row._fields, ((*row[:3], f"{row.ratio:.3g}") for row in rows))


def describe_run() -> str:
    """Say where a table comes from, Markdown: the machine, the commit, the day, and the command without folders."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    machine = f"{names[0]}, {len(names)} cores" if names else platform.platform()
    commit = subprocess.check_output(("git", "rev-parse", "--short", "HEAD"), encoding="utf-8").strip()
    arguments = " ".join(Path(argument).name if "/" in argument else argument for argument in sys.argv[1:])
    command = f"python benchmarks/{Path(sys.argv[0]).name} {arguments}"
    return f"{machine}; commit {commit}; {time.strftime('%Y-%m-%d')}\n\n    {command}"


def make_parser(description: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """Make a parser with the option that `publish` is given, and with the number of rounds if a default is given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write what is printed as well, Markdown")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="that count; one more does not")
    return parser


def publish(text: str, title: str, output: Path | None) -> None:
    """Print a text, Markdown; to a file it is written below a title, with where it comes from."""
    print(text, flush=True)
    if output:
        output.write_text(f"# {title}\n\n{describe_run()}\n\n{text}\n", encoding="utf-8")


def median_seconds(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time each contender once per round, one after the other, after a round that does not count.

    Return the median of the seconds on the wall clock, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def load_vectors(source: str) -> np.ndarray:
    """Load the pipeline's embeddings for "real", or draw vectors, as many as "30000" or "30000x288" says.

    Drawn ones are like those of a ReLU layer: √n clusters that extend in 12 directions, no component negative, more
    than half of them 0. Return float32 (n, d).
    """
    if source == "real":
        return np.load(EMBEDDINGS)
    count, dimensions = (int(number) for number in f"{source}x32".split("x")[:2])
    rng, clusters = np.random.default_rng(0), round(count**0.5)
    centers = rng.standard_normal((clusters, dimensions), np.float32) - np.float32(0.2)
    directions = rng.standard_normal((12, dimensions), np.float32) * np.float32(0.5 / 12**0.5)
    vectors = rng.standard_normal((count, 12), np.float32) @ directions + centers[rng.integers(clusters, size=count)]
    return np.maximum(vectors, 0, out=vectors)
