from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from similarity.embedding.head import Head, embed, glorot_head, load_head, save_head
from similarity.embedding.training import Epoch, Labeled, class_logits, train_head
from similarity.params import Loss, TrainParams
from similarity.tensorflow_setup import prepare_tensorflow

if TYPE_CHECKING:
    import keras

SETTINGS = TrainParams(
    lr=0.05, epochs=5, batch_size=32, momentum=0.9, nesterov=True, decay=1e-6, weight_decay=0,
    loss="softmax", scale=16, dropout=0, standardize=True,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tensorflow() -> None:
    prepare_tensorflow()


def blobs(rows: int, seed: int) -> Labeled:
    """Three classes that touch, far from the origin and on unequal scales."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int32) % 3
    points = rng.standard_normal((rows, 6)) + 4 * np.eye(6)[labels]
    return Labeled((points * 10.0 ** np.arange(-3, 3) + 5).astype(np.float32), np.arange(rows), labels)


def keras_head() -> "keras.Model":
    from keras import Input, Sequential, layers

    return Sequential([Input((6,)), layers.Dense(8, "relu"), layers.Dense(3, "softmax")])


def train(settings: TrainParams = SETTINGS, seed: int = 0) -> tuple[list[Epoch], Head]:
    epochs, heads = zip(*train_head(blobs(300, 0), blobs(99, 1), 3, 8, settings, seed), strict=True)
    return list(epochs), heads[-1]


def test_training_learns_and_reports_what_the_head_really_does() -> None:
    epochs, head = train()
    valid = blobs(99, 1)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].val_accuracy > 0.9
    assert (
        class_logits(embed(valid.features, head), head, "softmax").argmax(axis=1) == valid.labels
    ).mean() == pytest.approx(epochs[-1].val_accuracy)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    (first, head), (second, other) = train(), train()
    assert first == second
    assert all((mine == yours).all() for mine, yours in zip(head, other, strict=True))
    assert train(seed=1)[0] != first


@pytest.mark.parametrize("nesterov", [False, True])
def test_training_is_what_keras_fit_does(nesterov: bool) -> None:
    """One batch an epoch, whose order is then of no account: the same weights as by Keras' own SGD."""
    import keras

    changes = {"batch_size": 300, "standardize": False, "lr": 1e-4, "weight_decay": 0.5, "decay": 0.2}
    _, head = train(SETTINGS.model_copy(update=changes | {"nesterov": nesterov}))
    keras.utils.set_random_seed(0)
    model = keras_head()
    model.set_weights(list(glorot_head(6, 8, 3, np.random.default_rng(0))))
    schedule = keras.optimizers.schedules.InverseTimeDecay(1e-4, decay_steps=1, decay_rate=0.2)
    optimizer = keras.optimizers.SGD(schedule, 0.9, nesterov=nesterov, weight_decay=0.5)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    features, _, labels = blobs(300, 0)
    model.fit(features, labels, batch_size=300, epochs=SETTINGS.epochs, verbose=0)
    for mine, theirs in zip(head, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "normalized_softmax"])
def test_gradients_are_those_of_tensorflow(loss: Loss) -> None:
    """A step without momentum and decay changes the weights by lr × the gradient of the mean loss."""
    import tensorflow as tf

    changes = {"epochs": 1, "batch_size": 300, "standardize": False, "lr": 1e-3, "momentum": 0, "decay": 0}
    _, head = train(SETTINGS.model_copy(update=changes | {"loss": loss, "nesterov": False}))
    features, _, labels = blobs(300, 0)
    begun = glorot_head(6, 8, 3, np.random.default_rng(0))
    kernel, bias, class_kernel, class_bias = variables = [tf.Variable(weights) for weights in begun]
    with tf.GradientTape() as tape:
        embeddings = tf.nn.relu(features @ kernel + bias)
        if loss == "softmax":
            logits = embeddings @ class_kernel + class_bias
        else:
            logits = SETTINGS.scale * tf.math.l2_normalize(embeddings, 1) @ tf.math.l2_normalize(class_kernel, 0)
        value = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradients = tape.gradient(value, variables, unconnected_gradients="zero")
    for mine, before, gradient in zip(head[:2], begun, gradients, strict=False):
        np.testing.assert_allclose((before - mine) / 1e-3, gradient, rtol=1e-3, atol=2e-4)
    moved = class_kernel - 1e-3 * gradients[2]
    expected = moved if loss == "softmax" else SETTINGS.scale * tf.math.l2_normalize(moved, 0)
    np.testing.assert_allclose(head.class_kernel, expected, rtol=1e-4)


def test_only_the_rows_that_are_named_are_learned_from() -> None:
    everything = blobs(300, 0)
    chosen = np.flatnonzero(np.arange(300) % 4)
    some = Labeled(everything.features, chosen, everything.labels[chosen])
    alone = Labeled(everything.features[chosen], np.arange(len(chosen)), everything.labels[chosen])
    (epochs, head), (same, other) = (
        zip(*train_head(each, blobs(99, 1), 3, 8, SETTINGS, 0), strict=True) for each in (some, alone)
    )
    assert epochs == same
    assert all((mine == yours).all() for mine, yours in zip(head[-1], other[-1], strict=True))


def test_decay_lowers_the_learning_rate() -> None:
    epochs, _ = train(SETTINGS.model_copy(update={"decay": 1.0}))
    assert epochs[-1].loss > train()[0][-1].loss


def test_the_saved_head_is_a_keras_weights_file_with_the_same_embeddings(tmp_path: Path) -> None:
    _, head = train()
    path = tmp_path / "best.weights.h5"
    save_head(head, path)
    loaded = load_head(path)
    assert all((mine == yours).all() for mine, yours in zip(head, loaded, strict=True))
    model = keras_head()
    model.load_weights(path)
    features = blobs(99, 1).features
    theirs = model.layers[0](features).numpy()
    ours = embed(features, loaded)
    assert (ours >= 0).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (
        class_logits(ours, loaded, "softmax").argmax(axis=1) == model.predict(features, verbose=0).argmax(axis=1)
    ).all()


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    _, head = train()
    for name in ("a.weights.h5", "b.weights.h5"):
        save_head(head, tmp_path / name)
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()


@pytest.mark.parametrize("dropout", [0, 0.3])
def test_a_normalized_head_learns_cosines_and_is_byte_stable(dropout: float) -> None:
    settings = SETTINGS.model_copy(update={"loss": "normalized_softmax", "dropout": dropout})
    (epochs, head), (again, other) = train(settings), train(settings)
    assert again == epochs
    assert all((mine == yours).all() for mine, yours in zip(head, other, strict=True))
    assert epochs[-1].val_accuracy > 0.9
    np.testing.assert_allclose(np.linalg.norm(head.class_kernel, axis=0), settings.scale, rtol=1e-5)
    logits = class_logits(embed(blobs(99, 1).features, head), head, "normalized_softmax")
    assert np.abs(logits).max() <= settings.scale * 1.0001


def test_dropout_changes_training_only() -> None:
    settings = SETTINGS.model_copy(update={"dropout": 0.5})
    epochs, head = train(settings)
    assert epochs != train()[0]
    logits = class_logits(embed(blobs(99, 1).features, head), head, "softmax")
    assert (logits.argmax(axis=1) == blobs(99, 1).labels).mean() == pytest.approx(epochs[-1].val_accuracy)
