"""Compares `featurize` on a Ray cluster with `featurize` in the threads of this machine, and the bytes that come out.

    make .venv/.cluster && python benchmarks/ray_peers.py [--rounds 1]

RAY_ADDRESS may name a cluster; without it, one is started on this machine, which is part of the time. The stage runs on
the data set in place, in turns and without its cache, in a folder of its own that looks like the project.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison import Row, add_output, as_table, median_seconds, publish

sys.path.insert(0, "src")

from pipeline.stage import run_command

from similarity.cluster import ADDRESS
from similarity.dataset.manifest import read_manifest
from similarity.digests import digest_file
from similarity.layout import FEATURES, MANIFEST

NEEDED = ("src", "params.yaml", "models", "data/images", "data/manifest.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="that count; one more does not")
    add_output(parser)
    arguments = parser.parse_args()
    images = len(read_manifest(MANIFEST).keys)
    address, digests = os.environ.get(ADDRESS) or "local", set[str]()
    contenders = {name: partial(featurize, place, digests) for name, place in (("threads", ""), ("cluster", address))}
    seconds = median_seconds(contenders, arguments.rounds)
    if len(digests) > 1:
        sys.exit("error: the features are not the same")
    cluster, threads = seconds["cluster"], seconds["threads"]
    row = Row(
        f"`featurize`, {images:,} images, Ray ({address}) against threads",
        f"{cluster:.1f} s", f"{threads:.1f} s", cluster / threads,
    )  # fmt: skip
    publish(as_table([row]) + "\n\nThe features are the same, byte for byte.", "Ray beside threads", arguments.output)


def featurize(address: str, digests: set[str]) -> None:
    """Runs the stage in an empty folder, and adds the digest of what it wrote."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in NEEDED:
            link = folder / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path(name).resolve())
        environment = {**os.environ, ADDRESS: address, "XDG_CACHE_HOME": str(folder / "cache")}
        subprocess.run([sys.executable, "src/featurize.py"], cwd=folder, env=environment, check=True, stdout=sys.stderr)
        digests.add(digest_file(folder / FEATURES))


if __name__ == "__main__":
    run_command(main)
