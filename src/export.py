"""Export the model, from pixels to embeddings, for other programs: `python src/export.py --format onnx`.

Nothing is left in the folder that was not loaded again and found to give the stored embeddings of indexed images.
"""

from pipeline.stage import run_command, track

import argparse
import errno
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from similarity.errors import UserError
from similarity.layout import EMBEDDER, EMBEDDINGS, IMAGES, MANIFEST, RANGES

if TYPE_CHECKING:
    import keras
    import numpy as np

    from similarity.data.features.networks import Backbone
    from similarity.embedding.model import EmbeddingModel

    Run = Callable[[np.ndarray], np.ndarray]
    """Maps pixels, float32 (n, size, size, 3) in 0…255, to embeddings, float32 (n, E)."""

NOTES, TITLE = "README.md", "# Exported embedding model"
CHECKED_IMAGES = 100
ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


def main() -> None:
    parser = argparse.ArgumentParser(prog="export.py", description="Export the model for other programs.")
    parser.add_argument("--format", choices=("saved_model", "onnx"), default="saved_model",
        help="default: saved_model; onnx needs more packages")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("export"), help="the folder to replace (default: export)")
    arguments = parser.parse_args()
    if arguments.format == "onnx" and not all(map(find_spec, ONNX_PACKAGES)):
        raise UserError(
            "--format onnx needs more packages: "
            "run `pip install 'onnx>=1.17,<2' 'onnxruntime>=1.20,<2' 'tf2onnx>=1.17,<2'`"
        )
    out = arguments.out.resolve()
    notes = out / NOTES
    is_export = notes.is_file() and notes.read_text("utf-8", "replace").startswith(TITLE)
    if out.exists() and not is_export and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} exists and is not an earlier export: give the name of a new folder")
    export(arguments.format, out)
    print(f"{arguments.out} holds the model, its {NOTES} says how to use it")


def export(model_format: str, out: Path) -> None:
    """Write the model to a folder, which is replaced as a whole.

    Raises:
        UserError: files do not belong together, the backbone is from an ONNX file, or the exported model does not give
            the stored embeddings.
    """
    from pipeline.inputs import load_params

    import numpy as np

    from similarity.data.dataset.manifest import read_manifest
    from similarity.data.features.computing import load_pixels
    from similarity.data.features.extractor import MIN_AGREEMENT, describe, load_keras_backbone, lowest_cosine
    from similarity.data.files import Outputs
    from similarity.data.images.wide import read_ranges
    from similarity.data.quiet import prepare_tensorflow
    from similarity.embedding.model import load_embedding_model
    from similarity.engine.dvc_lock import DvcLock

    DvcLock(Path()).check(MANIFEST, EMBEDDINGS, EMBEDDER)
    weights, description = load_params().backbone.weights, describe(EMBEDDER)
    if description["name"].lower().endswith(".onnx"):
        raise UserError(
            f"the backbone is {description['name']}, which Keras cannot export; {EMBEDDER} holds all that other "
            "programs need, with OpenVINO (docs/how-to/export.md)"
        )
    stored, size = np.load(EMBEDDINGS), description["image_size"]
    rows = np.flatnonzero(stored.any(axis=1))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), CHECKED_IMAGES)).round().astype(int)]
    manifest, ranges = read_manifest(MANIFEST), read_ranges(RANGES)
    records = [manifest.records[row] for row in rows.tolist()]
    prepare_tensorflow()
    model = build_model(load_keras_backbone(EMBEDDER, weights), load_embedding_model(EMBEDDER))
    with Outputs() as outputs:
        folder = outputs.folder(out)
        run = (export_onnx if model_format == "onnx" else export_saved_model)(model, folder)
        pixels = (load_pixels(IMAGES / each.path, size, each.sha256, ranges) for each in track(records, "check"))
        lowest = lowest_cosine(np.concatenate([run(each[None]) for each in pixels]), stored[rows])
        if not lowest >= (least := MIN_AGREEMENT[description["engine"]]):
            raise UserError(
                f"the exported model does not give the stored embeddings of indexed images (cosine {lowest:.4f}, "
                f"at least {least} is needed), so nothing was exported: run `dvc repro`, with the backbone.weights "
                f"that models/backbone was made from ({weights})"
            )
        text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
        text = text.replace("<size>", str(size)).replace("<E>", str(stored.shape[1]))
        (folder / NOTES).write_text(text, encoding="utf-8")
    print(f"{model_format}: {len(rows)} indexed images checked, lowest cosine {lowest:.7f}")


def build_model(backbone: "Backbone", model: "EmbeddingModel") -> "keras.Model":
    """Join backbone, class part and visual part: ``pixels``, (n, size, size, 3) in 0…255, to ``embedding``, (n, E)."""
    from keras import Input, Model, layers

    pixels = Input(backbone.model.input_shape[1:], name="pixels")
    features, parts = backbone.model(pixels), list["keras.KerasTensor"]()
    for kernel, bias, activation in ((*model.head[:2], "relu"), (*model.visual, "linear")):
        if len(bias):
            layer = layers.Dense(len(bias), activation)
            parts.append(layer(features))
            layer.set_weights([kernel, bias])
    if len(model.visual.bias):
        weights = (1 - model.visual_weight, model.visual_weight)[-len(parts) :]
        units = [layers.UnitNormalization()(part) for part in parts]
        parts = [layers.Rescaling(weight**0.5)(unit) for unit, weight in zip(units, weights, strict=True)]
    return Model(pixels, {"embedding": layers.Concatenate()(parts) if len(parts) > 1 else parts[0]})


def export_saved_model(model: "keras.Model", folder: Path) -> "Run":
    """Write a TensorFlow SavedModel, and load it again."""
    import tensorflow as tf

    try:
        model.export(folder / "saved_model", verbose=False)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    loaded = tf.saved_model.load(folder / "saved_model")  # whose variables live as long as it does
    return lambda pixels: loaded.signatures["serving_default"](pixels=tf.constant(pixels))["embedding"].numpy()


def export_onnx(model: "keras.Model", folder: Path) -> "Run":
    """Write an ONNX file, and load it again."""
    import numpy as np

    # Where it can, ONNX Runtime reports how it is used, and keeps that in the home folder until then.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    model.predict_on_batch(np.zeros((1, *model.input_shape[1:]), np.float32))  # else Keras does not export it
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["embedding"], {"pixels": pixels})[0]


if __name__ == "__main__":
    run_command(main)
