"""Compares `featurize` on a Ray cluster with `featurize` in the threads of this machine, and the bytes of both.

    make .venv/.cluster && python benchmarks/ray_peers.py [--rounds 1]

RAY_ADDRESS may name a cluster; without it, one is started on this machine, which is part of the time. The stage runs on
the data set in place, in turns and without its cache, in a folder of its own that looks like the project.
"""

import os
import subprocess
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison import Row, as_table, make_parser, median_seconds, publish, run_command
from similarity.data.dataset.manifest import read_manifest
from similarity.layout import FEATURES, MANIFEST

ADDRESS = "RAY_ADDRESS"
NEEDED = ("src", "params.yaml", "models", "data/images", "data/manifest.csv")


def main() -> None:
    arguments = make_parser(__doc__, rounds=1).parse_args()
    images = len(read_manifest(MANIFEST).keys)
    address, digests = os.environ.get(ADDRESS) or "local", set[str]()
    contenders = {name: partial(featurize, place, digests) for name, place in (("threads", ""), ("cluster", address))}
    seconds = median_seconds(contenders, arguments.rounds)
    if len(digests) > 1:
        sys.exit("error: the features are not the same")
    cluster, threads = seconds["cluster"], seconds["threads"]
    what = f"`featurize`, {images:,} images, Ray ({address}), threads"
    row = Row(what, f"{cluster:.1f} s", f"{threads:.1f} s", cluster / threads)
    publish(as_table([row]) + "\n\nThe features are the same, byte for byte.", "Ray and threads", arguments.output)


def featurize(address: str, digests: set[str]) -> None:
    """Run the stage in an empty folder, and add the digest of what it wrote."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in NEEDED:
            link = folder / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path(name).resolve())
        environment = {**os.environ, ADDRESS: address, "XDG_CACHE_HOME": str(folder / "cache")}
        subprocess.run([sys.executable, "src/featurize.py"], cwd=folder, env=environment, check=True, stdout=sys.stderr)
        digests.add(sha256((folder / FEATURES).read_bytes()).hexdigest())


if __name__ == "__main__":
    run_command(main)
