"""The network that Keras trains: the original where it is asked for, and what is kept of it."""

from pipeline.inputs import load_params

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest

from projects import ROOT
from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.data.evaluation.retrieval import evaluate_retrieval
from similarity.embedding.model import Head, embed, load_head, predict_classes, save_head
from similarity.errors import UserError
from similarity.params import Loss, Optimizer, TrainParams
from train import count_epochs, fit, fit_without_some_classes

if TYPE_CHECKING:
    from similarity.embedding.training import Labeled

SETTINGS = TrainParams(
    lr=0.05, epochs=5, patience=None, batch_size=32, optimizer="sgd", schedule="constant", momentum=0.9,
    loss="normalized_softmax", scale=16, dropout=0, seed=0,
)  # fmt: skip
ORIGINAL = SETTINGS.model_copy(update={"loss": "softmax", "lr": 1e-3, "dropout": 0.5})


def blobs(rows: int, seed: int) -> "Labeled":
    """Three classes that touch, far from the origin and on unequal scales."""
    from similarity.embedding.training import Labeled

    rng = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int32) % 3
    points = rng.standard_normal((rows, 6)) + 4 * np.eye(6)[labels]
    return Labeled(((points + 1) * 10.0 ** np.arange(-3, 3)).astype(np.float32), np.arange(rows), labels)


def train(
    valid: "Labeled | None" = None, train: "Labeled | None" = None, **changes: Any
) -> tuple[Head, dict[str, list[float]]]:
    from similarity.embedding.training import train_network

    settings = SETTINGS.model_copy(update=changes)
    return train_network(train or blobs(300, 0), valid or blobs(99, 1), 3, 8, settings)


def test_softmax_is_the_model_of_the_original() -> None:
    """The original's script in short: two layers, SGD with momentum, Nesterov and decay, cross-entropy.

    A small network is in the place of ResNet50, which is frozen.
    """
    import keras

    from similarity.embedding.training import build_network, compile_network

    pixels, labels = np.random.default_rng(0).uniform(0, 255, (12, 32, 32, 3)), np.arange(12) % 3
    small = [keras.Input((32, 32, 3)), keras.layers.Conv2D(64, 5, 4), keras.layers.GlobalAveragePooling2D()]
    backbone = keras.Sequential(small)
    backbone.trainable = False
    original = keras.Sequential(
        [backbone, keras.layers.Dense(32, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    )
    decayed = keras.optimizers.schedules.InverseTimeDecay(1e-3, decay_steps=1, decay_rate=1e-6)  # Keras 2: decay=1e-6
    sgd = keras.optimizers.SGD(learning_rate=decayed, momentum=0.9, nesterov=True)
    original.compile(optimizer=sgd, loss="categorical_crossentropy", metrics=["accuracy"])

    network = build_network(64, 32, 3, ORIGINAL)
    compile_network(network, ORIGINAL, 5)
    network.set_weights([weights.numpy() for weights in original.trainable_weights])
    configurations = [
        [{**layer.get_config(), "name": ""} for layer in layers] for layers in (network.layers, original.layers[1:])
    ]
    assert configurations[0] == configurations[1]
    optimizers = [{**each.optimizer.get_config(), "name": ""} for each in (network, original)]
    assert optimizers[0] == optimizers[1]
    features = np.asarray(backbone(pixels))
    for _ in range(5):
        loss = network.train_on_batch(features, labels)
        np.testing.assert_allclose(loss, original.train_on_batch(pixels, np.eye(3)[labels]), rtol=1e-4)
    for mine, theirs in zip(network.trainable_weights, original.trainable_weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("loss", "standardize"), [("softmax", False), ("normalized_softmax", True)])
def test_the_head_gives_what_keras_predicts(loss: Loss, standardize: bool, tmp_path: Path) -> None:
    import keras

    from similarity.embedding.training import build_network, head_of, standardization

    features = blobs(99, 1).features
    settings = SETTINGS.model_copy(update={"loss": loss, "dropout": 0.5})
    network = build_network(6, 8, 3, settings, standardization(features) if standardize else None)
    save_head(head_of(network), tmp_path / "best.weights.h5")
    head = load_head(tmp_path / "best.weights.h5")
    embeddings = keras.Model(network.inputs, network.get_layer("embedding").output)([features])
    np.testing.assert_allclose(embed(features, head), embeddings, rtol=1e-4, atol=1e-3)
    probabilities = np.asarray(network(features))
    assert (predict_classes(features, head) == probabilities.argmax(axis=1)).all()
    if loss == "softmax":
        plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")])
        plain.load_weights(tmp_path / "best.weights.h5")
        np.testing.assert_allclose(plain(features), probabilities, rtol=1e-3, atol=1e-5)
    else:
        np.testing.assert_allclose(np.linalg.norm(head.class_kernel, axis=0), 16, rtol=1e-5)


def test_training_learns_from_the_named_rows_of_a_mapped_file_and_is_byte_stable(tmp_path: Path) -> None:
    everything = blobs(400, 0)
    chosen = np.flatnonzero(np.arange(400) % 4)
    np.save(tmp_path / "features.npy", everything.features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    some = everything._replace(features=mapped, rows=chosen, labels=everything.labels[chosen])
    alone = some._replace(features=everything.features[chosen], rows=np.arange(len(chosen)))
    for name, each in (("a", some), ("b", alone)):
        head, history = train(train=each, dropout=0.2, lr=0.01)
        save_head(head, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.9
    other_seed, _ = train(train=alone, dropout=0.2, lr=0.01, seed=1)
    assert (other_seed.kernel != head.kernel).any()


@pytest.mark.parametrize(
    ("loss", "figure", "choose"),
    [("softmax", "val_loss", np.argmin), ("normalized_softmax", "val_map_at_r", np.argmax)],
)
def test_the_best_epoch_is_kept_and_training_ends_when_patience_does(
    loss: Loss, figure: str, choose: Callable[[list[float]], int]
) -> None:
    valid = blobs(99, 1)
    valid = valid._replace(labels=np.where(np.arange(99) < 60, valid.labels, (valid.labels + 1) % 3).astype(np.int32))
    changes: dict[str, Any] = {"lr": 1e-4, "epochs": 60} if loss == "softmax" else {"lr": 0.5, "epochs": 40}
    head, history = train(valid=valid, patience=4, loss=loss, **changes)
    best = int(choose(history[figure]))
    assert best + 4 == len(history[figure]) - 1 < changes["epochs"] - 1
    accuracy = (predict_classes(valid.features, head) == valid.labels).mean()
    assert accuracy == pytest.approx(history["val_accuracy"][best])


def test_embeddings_of_zeros_do_no_harm() -> None:
    from similarity.embedding.training import build_network, compile_network

    silent, network = blobs(300, 0), build_network(6, 8, 3, SETTINGS)
    silent.features[::2] = 0
    compile_network(network, SETTINGS, 5)
    assert np.isfinite(network.train_on_batch(silent.features, silent.labels)).all()
    assert all(np.isfinite(weights).all() for weights in network.get_weights())


def test_a_training_that_diverges_names_the_parameter() -> None:
    with pytest.raises(UserError, match=r"training diverged in epoch \d: lower train\.lr in params\.yaml, now 10"):
        train(lr=10, loss="softmax")


def test_all_optimizers_of_keras_are_offered() -> None:
    import keras

    from similarity.embedding.training import build_network, compile_network

    wrappers = {"optimizer", "optimizermap", "multioptimizer", "lossscaleoptimizer"}
    unsuited = {"schedulefreeadamw"}  # brings its own schedule
    known = {name.lower() for name, each in vars(keras.optimizers).items() if isinstance(each, type)}
    assert known - wrappers - unsuited == set(get_args(Optimizer))
    network = build_network(6, 8, 3, SETTINGS)
    for optimizer in get_args(Optimizer):
        compile_network(network, SETTINGS.model_copy(update={"optimizer": optimizer}), 100)
        assert type(network.optimizer).__name__.lower() == optimizer


def test_schedules_and_the_scale_of_cosines_are_what_the_formulas_say() -> None:
    from similarity.embedding.training import build_network, compile_network

    def rate(schedule: str, step: int) -> float:
        network = build_network(6, 8, 3, SETTINGS)
        compile_network(network, SETTINGS.model_copy(update={"schedule": schedule}), 20)
        return float(network.optimizer._learning_rate(step))

    assert [rate("cosine", step) for step in (0, 50, 100)] == pytest.approx([0.05, 0.025, 0])
    assert [rate("constant", step) for step in (0, 1_000_000)] == pytest.approx([0.05, 0.025])
    for classes, scale in ((2, 2.197), (10, 4.394), (1000, 9.104)):
        layer: Any = build_network(6, 8, classes, SETTINGS.model_copy(update={"scale": None})).get_layer("classes")
        assert layer.scale == pytest.approx(scale, abs=1e-3)


def test_large_classes_are_passed_over_less_often_and_with_less_dropout() -> None:
    from similarity.embedding.training import choose_dropout

    settings = SETTINGS.model_copy(update={"epochs": 60, "schedule": "cosine"})
    for images, epochs in ((1, 60), (500, 60), (1000, 30), (10_000_000, 10)):
        assert count_epochs(settings, images) == epochs
    assert count_epochs(settings.model_copy(update={"schedule": "constant"}), 10_000_000) == 60
    assert [choose_dropout(images) for images in (1, 100, 400, 2500)] == pytest.approx([0.5, 0.5, 0.25, 0.1])


def test_a_stage_writes_the_history_after_each_epoch_and_trains_without_each_half_of_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = load_params(ROOT / "params.yaml")
    params = params.model_copy(update={"train": SETTINGS.model_copy(update={"epochs": 2})})
    manifest = Manifest([ImageRecord(f"{i}.png", "abcd"[i % 4], str(i), 8, 8) for i in range(90)])
    splits = {name: np.arange(90)[i * 30 : (i + 1) * 30] for i, name in enumerate(("train", "valid", "test"))}
    features = (manifest.labels[:, None] == np.arange(4)).astype(np.float32)
    head, history = fit(features, manifest, splits, params)
    ranked = evaluate_retrieval(embed(features, head), manifest.labels, splits["valid"], splits["train"])
    assert max(history["val_map_at_r"]) == pytest.approx(ranked.scores["map_at_r"].mean())
    lines = (tmp_path / "metrics/history.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_loss,val_accuracy,val_map_at_r"
    assert [float(line.split(",")[3]) for line in lines[1:]] == pytest.approx(history["val_loss"], rel=1e-5)
    assert head.class_kernel.shape == (32, 4)
    heads = fit_without_some_classes(features, manifest, splits, params)
    assert [each.class_kernel.shape for each in heads] == [(32, 2)] * 2
