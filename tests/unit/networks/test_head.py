from pathlib import Path

import numpy as np
import pytest

from similarity.embedding.head import Head, build_keras_head, embed, load_head, save_head
from similarity.embedding.training import Epoch, Labeled, class_logits, train_head
from similarity.params import TrainParams
from similarity.tensorflow_setup import prepare_tensorflow

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
    return Labeled((points * 10.0 ** np.arange(-3, 3) + 5).astype(np.float32), labels)


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


def test_an_epoch_is_what_keras_fit_does() -> None:
    """One batch a step, no standardization: the same weights as Keras' own SGD on the same order of the rows."""
    import keras

    settings = SETTINGS.model_copy(update={"epochs": 1, "batch_size": 300, "standardize": False, "lr": 1e-4})
    _, head = train(settings)
    keras.utils.set_random_seed(0)
    model = build_keras_head(6, 8, 3)
    model.compile(keras.optimizers.SGD(1e-4, 0.9, nesterov=True), "sparse_categorical_crossentropy")
    model.fit(*blobs(300, 0), batch_size=300, epochs=1, verbose=0, shuffle=False)
    for mine, theirs in zip(head, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_decay_lowers_the_learning_rate() -> None:
    epochs, _ = train(SETTINGS.model_copy(update={"decay": 1.0}))
    assert epochs[-1].loss > train()[0][-1].loss


def test_the_saved_head_is_a_keras_weights_file_with_the_same_embeddings(tmp_path: Path) -> None:
    _, head = train()
    path = tmp_path / "best.weights.h5"
    save_head(head, path)
    loaded = load_head(path)
    assert all((mine == yours).all() for mine, yours in zip(head, loaded, strict=True))
    model = build_keras_head(6, 8, 3)
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
