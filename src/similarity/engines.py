"""What runs a backbone over one batch of a fixed shape: Keras itself, or OpenVINO on the same graph."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from similarity.errors import UserError

if TYPE_CHECKING:
    import keras

Predict = Callable[[np.ndarray], np.ndarray]
"""Maps preprocessed pixels, float32 (batch_size, size, size, 3), to features, float32 (batch_size, D)."""

MIN_AGREEMENT = 0.9999


def make_engine(engine: str, model: "keras.Model", batch_size: int) -> Predict:
    """Prepares a model for batches of exactly `batch_size` images.

    With OpenVINO, the fixed shape makes an image's features independent of the batch that it happens to be in.

    Args:
        engine: ``keras`` or ``openvino``.
        model: maps float32 (n, size, size, 3) to float32 (n, D).
        batch_size: images per batch.
    """
    return _openvino_engine(model, batch_size) if engine == "openvino" else _keras_engine(model)


def _keras_engine(model: "keras.Model") -> Predict:
    return lambda batch: np.asarray(model.predict_on_batch(batch))


def _openvino_engine(model: "keras.Model", batch_size: int) -> Predict:
    import openvino as ov

    with TemporaryDirectory(prefix="backbone-") as folder:
        model.export(folder, verbose=False)
        graph = ov.convert_model(folder, input=[batch_size, *model.input_shape[1:]])
    # Without the hint, CPUs with bfloat16 silently compute in it (worst image seen: cosine 0.966 to Keras).
    compiled = ov.Core().compile_model(
        graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    )
    return lambda batch: compiled(batch)[0].copy()


def check_against_keras(predict: Predict, model: "keras.Model", batch: np.ndarray) -> float:
    """Compares an engine with Keras `predict` on one batch.

    Args:
        predict: the engine to check.
        model: the Keras model that the engine was made from.
        batch: preprocessed pixels, float32 (batch_size, size, size, 3).

    Returns:
        The lowest cosine, over the images, between the two engines' features.

    Raises:
        UserError: it is below `MIN_AGREEMENT`.
    """
    theirs, ours = model.predict_on_batch(batch), predict(batch)
    norms = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    dots = np.einsum("ij,ij->i", theirs, ours, dtype=np.float64)
    worst = float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1), theirs.any(1) == ours.any(1)).min())
    if not worst >= MIN_AGREEMENT:
        raise UserError(
            f"the inference engine disagrees with Keras (cosine {worst:.4f}, at least {MIN_AGREEMENT} is needed): "
            "set backbone.engine to keras in params.yaml, and please report the backbone"
        )
    return worst
