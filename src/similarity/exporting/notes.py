"""The README of an exported model: what goes in, what comes out, and what was checked."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TITLE = "# Exported embedding model"

Digest = tuple[str, str, str]
"""A file's name, its MD5 (as in dvc.lock), and its SHA-256."""


class Check(NamedTuple):
    """How well a loaded artifact agrees with the stored embeddings: the lowest cosine over a number of images."""

    artifact: str
    images: int
    lowest: float


def digests(path: Path, base: Path) -> list[Digest]:
    """The digests of a file, or of all files in a folder, by their path below `base`, sorted."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        content = file.read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        found.append((file.relative_to(base).as_posix(), md5, hashlib.sha256(content).hexdigest()))
    return found


def describe(
    size: int, embedding: int, checks: Sequence[Check], made_from: Sequence[Digest], files: Sequence[Digest]
) -> str:
    """The README's text, Markdown.

    Args:
        size: side of the square images, in pixels.
        embedding: length of the embedding.
        checks: of what was exported.
        made_from: of the files that the model comes from.
        files: of the exported files.
    """
    names = " ".join(check.artifact for check in checks)
    parts = [_INTRODUCTION]
    if "saved_model" in names:
        parts += [_SAVED_MODEL, _BYTES if "bytes" in names else _NO_BYTES]
    if "onnx" in names:
        parts.append(_ONNX)
    text = "\n".join(parts).replace("<size>", str(size)).replace("<E>", str(embedding))
    rows = [f"| {check.artifact} | {check.images} | {check.lowest:.7f} |" for check in checks]
    return "\n".join(
        [text, _CHECKS, *rows, "", "## Made from", "", *_table(made_from), "", "## Files", "", *_table(files), ""]
    )


def _table(rows: Sequence[Digest]) -> list[str]:
    return ["| file | MD5 | SHA-256 |", "|---|---|---|", *(f"| `{name}` | {md5} | {sha} |" for name, md5, sha in rows)]


_INTRODUCTION = f"""{TITLE}

From an image to its embedding: preprocessing, backbone, class part and visual part in one graph. The classes are not
in it.

- In: `pixels`, float32 `(n, <size>, <size>, 3)`, red, green, blue, **0…255** (not 0…1); whatever the backbone needs
  beyond is in the graph.
- Out: `embedding`, float32 `(n, <E>)`: compare by cosine. With both parts its length is 1, or less if one of them is
  all zeros; with the class part alone it is never negative and of any length. The cosine of all zeros counts as 0.
- To make pixels of an image: decode it, upright, transparency laid over white, and resize it to <size> × <size> without
  keeping its aspect ratio, bilinear with antialiasing (a triangle whose support grows when shrinking, as in Pillow and
  in `tf.image.resize(…, antialias=True)`), in float **without rounding** to whole numbers: rounding moves the
  embeddings. JPEGs want the accurate integer transform (Pillow's; in TensorFlow `dct_method="INTEGER_ACCURATE"`).
"""
_SAVED_MODEL = """## TensorFlow: `saved_model/`

Needs `tensorflow` and nothing else. Signature `serving_default`:

```python
import numpy as np, tensorflow as tf
from PIL import Image
bands = Image.open("photo.jpg").convert("RGB").split()
pixels = np.stack([b.convert("F").resize((<size>, <size>), Image.Resampling.BILINEAR) for b in bands], axis=-1)[None]
embedding = tf.saved_model.load("saved_model").signatures["serving_default"](pixels=tf.constant(pixels))["embedding"]
```
"""
_BYTES = """Signature `bytes` takes `images`, strings `(n,)`, what is in image files of any size:

```python
import tensorflow as tf
model = tf.saved_model.load("saved_model")
images = [tf.io.read_file(name) for name in ("photo.jpg", "other.png")]
embedding = model.signatures["bytes"](images=tf.stack(images))["embedding"]
```

`bytes` reads JPEG, PNG (8 bits or fewer), BMP (24 bits) and GIF (the first frame). It does **not** read TIFF, AVIF and
PPM, and WebP only with some versions of TensorFlow, unchecked; it does **not** turn images by their EXIF orientation,
and may read CMYK, 16 bits, other BMPs, transparent GIFs, and PNGs with one transparent color otherwise
than the pipeline: make pixels of all those yourself. Such images were left out of the check below.
"""
_NO_BYTES = """There is no signature that decodes image files, as it could not have been checked: TensorFlow decodes
none of the checked images as the pipeline does (WebP, TIFF, AVIF, PPM, turned by EXIF, CMYK, 16 bits).
"""
_ONNX = """## ONNX: `model.onnx`

Some versions of onnxruntime report on their use to Microsoft, unless the variable in the first line is set before.

```python
import os; os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np, onnxruntime
from PIL import Image
bands = Image.open("photo.jpg").convert("RGB").split()
pixels = np.stack([b.convert("F").resize((<size>, <size>), Image.Resampling.BILINEAR) for b in bands], axis=-1)[None]
embedding = onnxruntime.InferenceSession("model.onnx").run(["embedding"], {"pixels": pixels})[0]
```
"""
_CHECKS = """## Checked

Each was loaded again and run on evenly chosen indexed images; the lowest cosine to their stored embeddings:

| artifact | images | lowest cosine |
|---|--:|--:|"""
