"""The backbone, its preprocessing and the embedding as one graph, in formats that other programs run."""

import errno
import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from similarity.embedding.model import EmbeddingModel
from similarity.errors import UserError
from similarity.features.extractor import MIN_AGREEMENT, agreement, as_affine, describe, keras_weights
from similarity.features.networks import Backbone, load_backbone
from similarity.vectors import normalize

if TYPE_CHECKING:
    import tensorflow as tf

PIXELS, BYTES = "serving_default", "bytes"
ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
OPSET = 18
_BATCH = 10
_PNG_MAGIC = b"\x89PNG"
_COMPARABLE_MODES = {
    "JPEG": {"L", "RGB"},
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA"},
    "GIF": {"L", "P", "RGB"},
    "BMP": {"RGB"},
}
_ORIENTATION = 0x0112
_BITS_IN_BMP = slice(28, 30)
_BITS_IN_PNG = 24

Batch = np.ndarray | list[bytes]
"""Images as a model takes them: pixels, float32 (n, size, size, 3) in 0…255, or the content of n image files."""

Run = Callable[[Batch], np.ndarray]
"""Maps images to embeddings, float32 (n, E)."""


class Graph(NamedTuple):
    """An embedding model as TensorFlow functions; each gives ``{"embedding": float32 (n, E)}``.

    Attributes:
        from_pixels: takes ``pixels``, float32 (n, size, size, 3) in 0…255.
        from_bytes: takes ``images``, the content of image files, strings (n,).
        backbone: what both run.
    """

    from_pixels: "tf.types.experimental.PolymorphicFunction"
    from_bytes: "tf.types.experimental.PolymorphicFunction"
    backbone: Backbone


def require_onnx() -> None:
    """Checks that the packages are there which only ONNX needs.

    Raises:
        UserError: one is not.
    """
    if missing := [name for name in ONNX_PACKAGES if find_spec(name) is None]:
        raise UserError(
            f"--format onnx needs more packages ({', '.join(missing)}): "
            "run `pip install 'onnx>=1.17,<2' 'onnxruntime>=1.20,<2' 'tf2onnx>=1.17,<2'`"
        )


def require_keras(folder: Path) -> None:
    """Checks that Keras can build what `save_extractor` wrote.

    Raises:
        FileNotFoundError: the folder is missing or incomplete.
        UserError: the backbone is from an ONNX file.
    """
    description = describe(folder)
    if description["format"] == "onnx":
        raise UserError(
            f"the backbone is {description['name']}, which TensorFlow does not run; {folder} holds all that other "
            "programs need, with OpenVINO (docs/export.md)"
        )


def load_keras_backbone(folder: Path, weights: str) -> Backbone:
    """Builds in Keras what `save_extractor` wrote for another engine.

    Args:
        folder: where it is.
        weights: as `load_backbone` takes them; used if the folder holds no Keras weights.

    Raises:
        FileNotFoundError: the folder is missing or incomplete.
        UserError: the weights are others than those in the folder.
    """
    description = describe(folder)
    source = str(keras_weights(folder) or weights)
    backbone = load_backbone(description["name"], source, description["image_size"], description["taps"])
    if not (worst := agreement(folder, backbone.predict)) >= MIN_AGREEMENT["f32"]:
        raise UserError(
            f"{folder} was not made with the weights {source} (cosine {worst:.4f}, at least {MIN_AGREEMENT['f32']} is "
            "needed): run `dvc repro`"
        )
    return backbone


def build_graph(backbone: Backbone, model: EmbeddingModel) -> Graph:
    """Joins preprocessing, backbone and embedding, and before them a decoder, into functions to export.

    The backbone is called within a plain function: a Keras model that nests it behind preprocessing layers was seen to
    predict correctly, and to give wrong features once exported.
    """
    import tensorflow as tf

    size = backbone.image_size
    matrix, offset = as_affine(backbone.preprocess)

    def embed(pixels):  # type: ignore[no-untyped-def]  # traced by TensorFlow, whose tensors are untyped
        features = backbone.model(tf.matmul(pixels, matrix) + offset, training=False)
        class_part = tf.nn.relu(tf.matmul(features, model.head.kernel) + model.head.bias)
        if not len(model.visual.bias):
            return {"embedding": class_part}
        visual_part = tf.matmul(features, model.visual.kernel) + model.visual.bias
        parts = (class_part, 1 - model.visual_weight), (visual_part, model.visual_weight)
        return {"embedding": tf.concat([weight**0.5 * unit(part) for part, weight in parts], axis=1)}

    def unit(rows):  # type: ignore[no-untyped-def]  # as above
        return tf.math.divide_no_nan(rows, tf.norm(rows, axis=1, keepdims=True))

    def load(image):  # type: ignore[no-untyped-def]  # as above
        return tf.image.resize(decode(image), (size, size), antialias=True)

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, "pixels")])
    def from_pixels(pixels):  # type: ignore[no-untyped-def]  # as above
        return embed(pixels)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "images")])
    def from_bytes(images):  # type: ignore[no-untyped-def]  # as above
        return embed(tf.map_fn(load, images, fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32)))

    return Graph(from_pixels, from_bytes, backbone)


def decode(image: "tf.Tensor") -> "tf.Tensor":
    """Decodes the content of an image file, a string (), as `read_image` does: float32 (height, width, 3)."""
    import tensorflow as tf

    def jpeg() -> "tf.Tensor":  # Pillow's transform; TensorFlow's default is faster and off by up to 6
        return tf.cast(tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"), tf.float32)

    def png() -> "tf.Tensor":
        # All channels that there are: of an alpha asked for, TensorFlow makes 1, 3 or 15 below 8 bits, not 255.
        pixels = tf.cast(tf.io.decode_png(image), tf.float32)
        channels = tf.shape(pixels)[2]
        colors = channels - 1 + channels % 2  # gray or RGB, without alpha
        alpha = tf.cond(colors < channels, lambda: pixels[..., -1:], lambda: tf.constant(255, tf.float32, (1, 1, 1)))
        over_white = 255 + (pixels[..., :colors] - 255) * alpha / 255
        return tf.round(over_white) + tf.zeros((1, 1, 3))

    def other() -> "tf.Tensor":
        return tf.cast(tf.io.decode_image(image, channels=3, expand_animations=False), tf.float32)

    is_png = tf.equal(tf.strings.substr(image, 0, len(_PNG_MAGIC)), _PNG_MAGIC)
    pixels = tf.case([(tf.io.is_jpeg(image), jpeg), (is_png, png)], default=other)
    return tf.ensure_shape(pixels, (None, None, 3))


def is_decoded_alike(content: bytes) -> bool:
    """Tells whether the graph's decoder is meant to give what `read_image` gives of an image file's content.

    It does not read TIFF, AVIF and PPM, reads WebP in some versions of TensorFlow only, does not turn images by their
    EXIF orientation, and reads CMYK, 16 bits, transparency in GIFs or of one color, and BMPs not of 24 bits in its own
    way.
    """
    with Image.open(BytesIO(content)) as image:
        if image.mode not in _COMPARABLE_MODES.get(image.format or "", set()):
            return False
        if image.format == "BMP":
            return int.from_bytes(content[_BITS_IN_BMP], "little") == 24
        if image.format == "PNG" and content[_BITS_IN_PNG] > 8:
            return False
        if image.mode in {"1", "L", "RGB"} and image.has_transparency_data:  # one color, which TensorFlow shows
            return False
        if image.format == "GIF":
            return not image.has_transparency_data
        try:
            return int(image.getexif().get(_ORIENTATION, 1)) == 1
        except Exception:  # as in `read_image`, whatever the reader of damaged metadata raises
            return False


def save_saved_model(folder: Path, graph: Graph, with_bytes: bool) -> None:
    """Writes a TensorFlow SavedModel with the signature `PIXELS` and, if it is wanted, `BYTES`.

    Raises:
        OSError: there is no room for it.
    """
    import tensorflow as tf
    from keras.export import ExportArchive

    archive = ExportArchive()
    archive.track(graph.backbone.model)
    archive.add_endpoint(PIXELS, graph.from_pixels)
    if with_bytes:
        archive.add_endpoint(BYTES, graph.from_bytes)
    try:
        archive.write_out(folder, verbose=False)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def save_onnx(path: Path, graph: Graph) -> None:
    """Writes an ONNX file, from ``pixels`` (n, size, size, 3) to ``embedding`` (n, E), both float32."""
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(graph.from_pixels, graph.from_pixels.input_signature, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.save(model, path)


def load_saved_model(folder: Path, signature: str) -> Run:
    """Loads a signature of what `save_saved_model` wrote."""
    import tensorflow as tf

    model = tf.saved_model.load(folder)  # whose variables live as long as it does
    (name,) = model.signatures[signature].structured_input_signature[1]

    def run(batch: Batch) -> np.ndarray:
        try:
            return model.signatures[signature](**{name: tf.constant(batch)})["embedding"].numpy()
        except tf.errors.OpError as error:
            reason = " ".join(str(error.message).split())[:200]
            raise UserError(f"the exported signature {signature} fails on indexed images: {reason}") from error

    return run


def load_onnx(path: Path) -> Run:
    """Loads what `save_onnx` wrote."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(["embedding"], {"pixels": np.asarray(batch)})[0]


def lowest_cosine(
    run: Run,
    inputs: Batch,
    embeddings: np.ndarray,
    least: float,
    progress: Callable[[range], Iterable[int]] = iter,
) -> float:
    """Runs an exported model on images, and compares what it gives with what is stored.

    Args:
        run: the loaded model.
        inputs: n images as the model takes them.
        embeddings: what is stored for them, float32 (n, E), none all zeros.
        least: what the lowest cosine must be, one of `MIN_AGREEMENT`.
        progress: wraps the iteration over the batches.

    Returns:
        The lowest cosine.

    Raises:
        UserError: it is below `least`.
    """
    starts = progress(range(0, len(inputs), _BATCH))
    computed = np.concatenate([run(inputs[start : start + _BATCH]) for start in starts])
    if computed.shape != embeddings.shape:
        raise UserError(
            f"embeddings of {embeddings.shape[1]} numbers are stored, not {computed.shape[1]}: run `dvc repro`"
        )
    lowest = float((normalize(computed) * normalize(embeddings)).sum(axis=1).min())
    if not lowest >= least:
        raise UserError(
            "the exported model does not give the stored embeddings of indexed images "
            f"(cosine {lowest:.4f}, at least {least} is needed), so nothing was exported: run `dvc repro`, and "
            "please report this if it goes on"
        )
    return lowest
