"""How many hours, gigabytes and machines a number of images takes, from what one image costs.

    python benchmarks/sizing.py                                      # a million, ten, a hundred
    python benchmarks/sizing.py 3e7 --cores 32 --costs mine.yaml     # with your own costs

Costs are those of `costs.yaml`, each with the command that measures it. What takes more than a day, or more memory
than a machine has, is marked: docs/scaling.md says what to do instead.
"""

import argparse
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

COSTS = Path(__file__).with_name("costs.yaml")
TRAINED = 0.6  # share of the images: split.train
EPOCHS = 200  # train.epochs
IMAGES_PER_SHARD = 10_000
TOO_LONG = 24  # hours
HOUR, GB = 3600, 1e9


class Machines(NamedTuple):
    """What there is: their number, the cores and the memory in gigabytes of each."""

    number: int
    cores: int
    memory: float


class Need(NamedTuple):
    """What is needed of something: hours or gigabytes, and what there is at most."""

    name: str
    amount: float
    unit: str
    bound: float = float("inf")

    def __str__(self) -> str:
        amount, unit = self.amount, self.unit
        if unit == "h" and amount < 1:
            amount, unit = 60 * amount, "min"
        elif unit == "GB" and amount >= 1000:
            amount, unit = amount / 1000, "TB"
        digits = 1 - min(1, math.floor(math.log10(amount)))  # two that count
        return f"{amount:,.{digits}f} {unit}" + (" ✗" if self.amount > self.bound else "")


def needs(images: float, costs: Mapping[str, float], machines: Machines) -> Iterator[Need]:
    """All that a number of images needs."""
    everywhere, one = machines.number * machines.cores * HOUR, machines.cores * HOUR
    all_bytes = images * costs["photograph"]
    yield Need("`scan`, on all machines", images * costs["scan"] / everywhere, "h", TOO_LONG)
    yield Need("`featurize`, on all machines", images * costs["featurize"] / everywhere, "h", TOO_LONG)
    yield Need("`train`, on one", TRAINED * images * EPOCHS * costs["train"] / one, "h", TOO_LONG)
    yield Need("`embed`, on one", images * costs["embed"] / HOUR, "h", TOO_LONG)
    yield Need("`neighbors`, on one", images**2 * costs["pair"] / one, "h", TOO_LONG)
    yield Need("`ann` with Annoy, on one core", images * costs["annoy"] / HOUR, "h", TOO_LONG)
    for layout, files in (("files", images), ("shards", images / IMAGES_PER_SHARD)):
        for verb in ("add", "pull"):
            seconds = files * costs[f"{verb}_file"] + all_bytes * costs[f"{verb}_byte"]
            yield Need(f"`dvc {verb}`, {layout}", seconds / HOUR, "h", TOO_LONG)
    for name in ("photograph", "preview", "features", "embedding", "json"):
        yield Need(f"disk: {name}", images * costs[name] / GB, "GB")
    for name in ("neighbors", "other"):
        yield Need(f"memory: {name}", images * costs[f"memory_{name}"] / GB, "GB", machines.memory)


def as_table(counts: list[float], costs: Mapping[str, float], machines: Machines) -> str:
    """All needs as a Markdown table, a column for each number of images."""
    columns = [list(needs(count, costs, machines)) for count in counts]
    header = [
        "|".join(["| images ", *(f" {count:,.0f} " for count in counts), ""]),
        "|---" + "|--:" * len(counts) + "|",
    ]
    rows = zip(*columns, strict=True)
    return "\n".join([*header, *(f"| {row[0].name} | " + " | ".join(map(str, row)) + " |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=float, default=[1e6, 1e7, 1e8], help="numbers of images")
    parser.add_argument("--machines", type=int, default=16)
    parser.add_argument("--cores", type=int, default=16, help="of each machine")
    parser.add_argument("--memory", type=float, default=64, help="of each machine, in gigabytes")
    parser.add_argument("--costs", type=Path, default=COSTS, help="a file like costs.yaml")
    arguments = parser.parse_args()
    costs = yaml.safe_load(arguments.costs.read_text(encoding="utf-8"))
    print(as_table(arguments.images, costs, Machines(arguments.machines, arguments.cores, arguments.memory)))


if __name__ == "__main__":
    main()
