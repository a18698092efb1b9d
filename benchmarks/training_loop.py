"""Training the head as the pipeline does, beside a bare loop of the same steps.

    python benchmarks/training_loop.py [--epochs 100] [--rounds 2] [--dropout 0]

The bare loops have no Keras layers, no optimizer object, no validation and no figures: TensorFlow's own operations on
variables, over the same features, standardized before, in batches of the same size; one of them with the same dropout.
They are compiled anew in each round, and all take turns in one process.
"""

import argparse
import sys
from collections import deque

import numpy as np

from comparison import Row, add_output, as_table, median_seconds, publish

sys.path.insert(0, "src")

from pipeline.paths import FEATURES, MANIFEST, SPLITS
from pipeline.stage import run_command

from similarity.dataset.manifest import read_manifest, read_splits
from similarity.embedding.training import Labeled, train_head
from similarity.params import TrainParams, load_params
from similarity.tensorflow_setup import prepare_tensorflow
from similarity.vectors import standardization

OURS, BARE, WITH_DROPOUT = "ours", "a bare loop without", "a bare loop with it"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2, help="that count; one more does not")
    parser.add_argument("--dropout", type=float, help="of ours (default: that of params.yaml)")
    add_output(parser)
    arguments = parser.parse_args()
    prepare_tensorflow()
    params = load_params()
    dropout = params.train.dropout if arguments.dropout is None else arguments.dropout
    changes = {"epochs": arguments.epochs, "dropout": dropout}
    settings, size = params.train.model_copy(update=changes), params.embedding.size
    manifest, features = read_manifest(MANIFEST), np.load(FEATURES, mmap_mode="r")
    splits = read_splits(SPLITS, manifest)
    train, valid = (Labeled(features, splits[split], manifest.labels[splits[split]]) for split in ("train", "valid"))
    classes = len(manifest.classes)
    mean, scale = standardization(features, train.rows)
    standardized = (features[train.rows] - mean) / scale
    seconds = median_seconds(
        {
            OURS: lambda: deque(train_head(train, valid, classes, size, settings, params.base.seed), maxlen=0),
            BARE: lambda: bare_loop(standardized, train.labels, classes, size, settings, 0),
            WITH_DROPOUT: lambda: bare_loop(standardized, train.labels, classes, size, settings, dropout),
        },
        arguments.rounds,
    )
    steps = arguments.epochs * -(-len(train.rows) // settings.batch_size)
    what = f"training, {steps:,} steps of {settings.batch_size} × {features.shape[1]:,} features, dropout {dropout:g}; "
    ours = seconds[OURS]
    rows = [
        Row(what + name, f"{ours:.1f} s", f"{seconds[name]:.1f} s", ours / seconds[name])
        for name in ((BARE, WITH_DROPOUT) if dropout else (BARE,))
    ]
    publish(as_table(rows), "Training of the class part", arguments.output)


def bare_loop(
    inputs: np.ndarray, classes_of: np.ndarray, classes: int, size: int, settings: TrainParams, dropout: float
) -> None:
    """Takes all steps of all epochs."""
    import tensorflow as tf

    features, labels = tf.Variable(inputs, trainable=False), tf.constant(classes_of)
    glorot = tf.keras.initializers.GlorotUniform(0)
    weights = [
        tf.Variable(glorot((inputs.shape[1], size))),
        tf.Variable(tf.zeros(size)),
        tf.Variable(glorot((size, classes))),
        tf.Variable(tf.zeros(classes)),
    ]
    velocities = [tf.Variable(tf.zeros_like(weight)) for weight in weights]

    @tf.function
    def run_epoch(order):  # type: ignore[no-untyped-def]  # traced by TensorFlow, whose tensors are untyped
        for start in tf.range(0, len(classes_of), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            taken = tf.gather(features, batch)
            if dropout:
                taken = tf.nn.experimental.stateless_dropout(taken, dropout, seed=tf.stack([0, start]))
            with tf.GradientTape() as tape:
                embeddings = tf.nn.relu(taken @ weights[0] + weights[1])
                logits = embeddings @ weights[2] + weights[3]
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, batch), logits)
                loss = tf.reduce_mean(losses)
            for weight, velocity, gradient in zip(weights, velocities, tape.gradient(loss, weights), strict=True):
                velocity.assign(settings.momentum * velocity - settings.lr * gradient)
                decayed = weight * (1 - settings.lr * settings.weight_decay)
                weight.assign(decayed + settings.momentum * velocity - settings.lr * gradient)

    rng = np.random.default_rng(0)
    for _ in range(settings.epochs):
        run_epoch(tf.constant(rng.permutation(len(classes_of)).astype(np.int32)))


if __name__ == "__main__":
    run_command(main)
