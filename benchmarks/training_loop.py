"""How long the stage `train` takes on the data set in place, compared with importing Keras and with a bare loop.

    python benchmarks/training_loop.py [--rounds 2]

The import is what any training with Keras takes. The bare loop takes as many steps of the same network on batches that
are in memory already: no validation, no best epoch, no figures, and nothing is read.
"""

import argparse
import csv
import subprocess
import sys

import numpy as np

from comparison import Row, add_output, as_table, median_seconds, publish

sys.path.insert(0, "src")

from pipeline.inputs import load_params
from pipeline.stage import run_command

from similarity.data.dataset.manifest import read_manifest, read_splits
from similarity.data.vectors import standardization
from similarity.embedding.training import build_network, compile_network, keras
from similarity.layout import FEATURES, MANIFEST, METRICS, SPLITS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="that count; one more does not")
    add_output(parser)
    arguments = parser.parse_args()
    manifest, features, params = read_manifest(MANIFEST), np.load(FEATURES, mmap_mode="r"), load_params()
    rows = manifest.labeled(read_splits(SPLITS, manifest)["train"])
    inputs, labels, settings = features[rows], manifest.labels[rows], params.train
    run("src/train.py")  # for the number of epochs
    with (METRICS / "history.csv").open(encoding="utf-8", newline="") as file:
        epochs = len(list(csv.DictReader(file)))

    def bare_loop() -> None:
        keras.utils.set_random_seed(settings.seed)
        standard = standardization(inputs) if settings.loss == "normalized_softmax" else None
        network = build_network(inputs.shape[1], params.embedding.size, len(manifest.classes), settings, standard)
        compile_network(network, settings, -(-len(inputs) // settings.batch_size))
        network.fit(inputs, labels, batch_size=settings.batch_size, epochs=epochs, verbose=0)

    imported, bare, ours = "importing Keras", "a bare loop, without the import", "the stage"
    contenders = {imported: lambda: run("-c", "import keras"), bare: bare_loop, ours: lambda: run("src/train.py")}
    seconds = median_seconds(contenders, arguments.rounds)
    what = f"`train`, {epochs} epochs of {len(rows):,} × {features.shape[1]:,} features; "
    table = [
        Row(what + peer, f"{seconds[ours]:.1f} s", f"{seconds[peer]:.1f} s", seconds[ours] / seconds[peer])
        for peer in (imported, bare)
    ]
    publish(as_table(table), "Training of the class part", arguments.output)


def run(*arguments: str) -> None:
    """Run Python without showing what it prints."""
    subprocess.run((sys.executable, *arguments), check=True, capture_output=True)


if __name__ == "__main__":
    run_command(main)
