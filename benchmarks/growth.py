"""How the time and the memory of each stage grow with the number of images, measured on generated ones.

    python benchmarks/growth.py [10000 100000 1000000] [--plot docs/growth.png]

For each number of images, a temporary project of pictures of 28 pixels is generated and the stages' own scripts run in
it, each in a process of its own. The backbone sees 32 pixels instead of 224, and gives 2,848 features all the same;
training takes 10 epochs; all else is as in params.yaml. Parts of stages are measured, too: reading the manifest, as
nearly all stages do, and writing the two JSON files.

The table has the seconds that a step took once everything was imported, and the peak memory of its process in 10⁶
bytes. An exponent is the slope of the least-squares line through the logarithms of what is above the same step on 72
images: that much does not grow, such as the memory of what is imported. From the memory at the two largest numbers of
images follows, on a straight line, what a million would take. Some steps bend: `ann` sweeps search_k for 2,000 images
however many there are; `evaluate` and `baselines` grow with the square of the number of images up to
`evaluate.max_queries` test images, `duplicates` up to `duplicates.max_exact` images, and with less from there on.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from comparison import add_output, publish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROJECT = Path(__file__).resolve().with_name("growth_project.py")
FEW = 72  # images, whose cost is taken for that of none
MAX_RUNS = 3
ENOUGH_SECONDS = 5.0
MILLION = 1_000_000
LABEL_GAP = 0.05  # of the height of a panel


class Step(NamedTuple):
    """What is measured.

    Attributes:
        name: as `growth_project.py` knows it.
        label: as the table shows it.
        expected: exponent of its time.
    """

    name: str
    label: str
    expected: str


class Cost(NamedTuple):
    """What a step took: seconds on the wall clock, and the peak memory of its process in 10⁶ bytes."""

    seconds: float
    megabytes: float


class Growth(NamedTuple):
    """What a step took for each number of images, and for a few."""

    step: Step
    costs: list[Cost]
    start: Cost

    def above_start(self, quantity: str) -> np.ndarray:
        """A field of the costs, less that of the start; float64 (numbers of images,), NaN where noise hides it."""
        values = np.array([getattr(cost, quantity) for cost in self.costs]) - getattr(self.start, quantity)
        return np.where(values > 0, values, np.nan)


STEPS = (  # in the order of the flow: each leaves what the next ones read
    Step("fetch", "`fetch`", "1"),
    Step("scan", "`scan`", "1"),
    Step("read_manifest", "read manifest.csv", "1"),
    Step("duplicates", "`duplicates`", "2, then 1.5"),
    Step("split", "`split`", "1"),
    Step("backbone", "`backbone`", "0"),
    Step("featurize", "`featurize`", "1"),
    Step("train", "`train`", "1"),
    Step("visual", "`visual`", "1"),
    Step("embed", "`embed`", "1"),
    Step("write_embeddings", "write embeddings.json", "1"),
    Step("neighbors", "`neighbors`", "2"),
    Step("write_neighbors", "write inverted-index.json", "1"),
    Step("ann", "`ann`", "1"),
    Step("threshold", "`threshold`", "1, then 0"),
    Step("map", "`map`", "1"),
    Step("variants", "`variants`", "1, then 0"),
    Step("baselines", "`baselines`", "2, then 1"),
    Step("evaluate", "`evaluate`", "2, then 1"),
    Step("audit", "`audit`", "2, then 1"),
    Step("index", "`index`", "1"),
)


def main() -> None:
    arguments = parse_arguments()
    counts = sorted(arguments.counts)
    start, *costs = (measure_steps(count) for count in (FEW, *counts))
    growths = [Growth(step, [each[i] for each in costs], start[i]) for i, step in enumerate(STEPS)]
    publish(growths_table(counts, growths), "Growth with the number of images", arguments.output)
    if arguments.plot:
        plot(counts, growths, arguments.plot)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="growth.py", description="Measures how the stages' cost grows.")
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000], help="numbers of images")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw it, as .png or .svg")
    add_output(parser)
    return parser.parse_args()


def measure_steps(count: int) -> list[Cost]:
    """Generates a project of `count` images and measures every step in it."""
    with TemporaryDirectory() as folder:
        # In a process of its own, as is this one small: Linux counts the parent's memory into a child's peak.
        run(["make", str(count)], folder)
        steps = tqdm(STEPS, f"{count} images", unit=" steps", disable=None, leave=False)
        return [measure(step.name, folder) for step in steps]


def measure(name: str, folder: str) -> Cost:
    """Gives the cost of the fastest of a few runs, or of a single one that takes long: other load only ever adds."""
    costs: list[Cost] = []
    while len(costs) < MAX_RUNS and sum(cost.seconds for cost in costs) < ENOUGH_SECONDS:
        *_, last = run([name], folder).splitlines()
        costs.append(Cost(*map(float, last.split())))
    return min(costs)


def run(arguments: Sequence[str], folder: str) -> str:
    """Runs `growth_project.py` in a folder and gives what it prints."""
    command = [sys.executable, str(PROJECT), *arguments]
    finished = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if finished.returncode:
        sys.exit(f"error: {' '.join(arguments)} failed")
    return finished.stdout


def exponent(counts: Sequence[int], values: np.ndarray) -> float:
    """The slope of the least-squares line through the logarithms, NaN where there are not two points."""
    known = ~np.isnan(values)
    if known.sum() < 2:
        return np.nan
    return float(np.polyfit(np.log(np.array(counts)[known]), np.log(values[known]), 1)[0])


def megabytes_of_a_million(counts: Sequence[int], costs: Sequence[Cost]) -> float:
    """The memory that a million images would take, on the line through those of the two largest numbers of images."""
    smaller, larger = costs[-2].megabytes, costs[-1].megabytes
    slope = max(0.0, larger - smaller) / (counts[-1] - counts[-2])
    return max(larger, larger + slope * (MILLION - counts[-1]))


def growths_table(counts: Sequence[int], growths: Sequence[Growth]) -> str:
    """All costs as a Markdown table."""
    sizes = [f"{count:,}" for count in counts]
    columns = [
        "step",
        *(f"{size}: s" for size in sizes),
        *(f"{size}: MB" for size in sizes),
        "exponent of time",
        "expected",
        "exponent of memory",
        *(["a million: MB"] if len(counts) > 1 else []),
    ]
    lines = ["| " + " | ".join(columns) + " |\n|---|" + "--:|" * (len(columns) - 1)]
    for growth in growths:
        cells = [
            growth.step.label,
            *(f"{cost.seconds:.2f}" for cost in growth.costs),
            *(f"{cost.megabytes:.0f}" for cost in growth.costs),
            f"{exponent(counts, growth.above_start('seconds')):.2f}",
            growth.step.expected,
            f"{exponent(counts, growth.above_start('megabytes')):.2f}",
            *([f"{megabytes_of_a_million(counts, growth.costs):.0f}"] if len(counts) > 1 else []),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(counts: Sequence[int], growths: Sequence[Growth], path: Path) -> None:
    """Draws time and memory over the number of images, both above the start, beside guides of slope 1 and 2."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=140, layout="constrained")
    titles = {"seconds": "time above the start, s", "megabytes": "peak memory above the start, MB"}
    for axes, (quantity, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        lines = {growth.step.label.strip("`"): growth.above_start(quantity) for growth in growths}
        axes.set(xscale="log", yscale="log", xlabel="images")
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        draw_lines(axes, counts, lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def draw_lines(axes: "Axes", counts: Sequence[int], lines: Mapping[str, np.ndarray]) -> None:
    """Draws lines, float64 (numbers of images,) each, with their names at their ends."""
    from matplotlib import colormaps

    everything = np.array(list(lines.values()))
    low, high = np.nanmin(everything) / 2, np.nanmax(everything) * 2
    axes.set_ylim(low, high)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    draw_guides(axes, counts, np.nanmedian(everything[:, 0]))
    heights = spread({name: np.log(line[-1] / low) / np.log(high / low) for name, line in lines.items()})
    for i, (name, line) in enumerate(lines.items()):
        color = colormaps["tab10"](i)
        axes.plot(counts, line, "o-", color=color, markersize=4, linewidth=1.6)
        if name in heights:
            axes.text(1.02, heights[name], name, color=color, transform=axes.transAxes, va="center", fontsize=8)


def draw_guides(axes: "Axes", counts: Sequence[int], value: float) -> None:
    """Draws n and n² from a value at the first number of images on."""
    for power, name in ((1, "n"), (2, "n²")):
        ends = np.array([counts[0], counts[-1]])
        axes.plot(ends, value * (ends / counts[0]) ** power, "--", color="0.65", linewidth=1, zorder=1)
        place = (counts[-1] / counts[0]) ** 0.4  # before the middle, where the lines are furthest apart
        axes.annotate(
            name,
            (counts[0] * place, value * place**power),
            (0, 3),
            textcoords="offset points",
            ha="right",
            color="0.45",
            fontsize=9,
        )


def spread(heights: Mapping[str, float]) -> dict[str, float]:
    """Moves heights apart to at least `LABEL_GAP`, all together as little as possible; leaves out NaN."""
    from scipy.optimize import isotonic_regression

    names = sorted((name for name, height in heights.items() if np.isfinite(height)), key=heights.__getitem__)
    gaps = LABEL_GAP * np.arange(len(names))
    placed = isotonic_regression([heights[name] for name in names] - gaps).x + gaps
    return dict(zip(names, placed.tolist(), strict=True))


if __name__ == "__main__":
    main()
