"""Small real images and embeddings for the tests."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from similarity.data.images.pixels import resize
from similarity.data.sources.ceramics import CLASSES, draw_picture
from similarity.data.sources.folders import list_files, unpack_archive
from similarity.data.sources.label_tables import Correction
from similarity.data.sources.layouts import Layout, plan_layout
from similarity.data.vectors import normalize
from similarity.params import DataParams


def write_wares(folder: Path, classes: tuple[str, ...], images: int, size: int = 32) -> Path:
    """Writes `images` pictures of each class below `folder`, as <class>/<number>.png."""
    for texture, label in zip(CLASSES, classes, strict=False):
        (folder / label).mkdir(parents=True)
        for number in range(images):
            Image.fromarray(draw_picture(texture, 1, number, size)).save(folder / label / f"{number:03d}.png")
    return folder


def relu_clusters(rows: int, size: int = 32, clusters: int = 20) -> np.ndarray:
    """Embeddings as a ReLU gives them: clustered, half zeros; float32 (rows, size)."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((clusters, size))
    points = centers[rng.integers(0, clusters, rows)] + 0.4 * rng.standard_normal((rows, size))
    return np.maximum(points, 0).astype(np.float32)


def batch_of(photographs: list[np.ndarray], size: int, count: int) -> np.ndarray:
    """Different pixels from a few photographs, float32 (count, size, size, 3)."""
    return np.stack([resize(photographs[i % len(photographs)][i * 5 :], size) for i in range(count)])


def true_cosines(embeddings: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The cosine of each embedding with some others, given by their rows, int64 (n, k): float32 (n, k)."""
    units = normalize(embeddings)
    return np.einsum("bd,bkd->bk", units, units[rows])


def noisy_picture(width: int, height: int) -> Image.Image:
    """A picture that no format makes small."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Writes an image as Pillow does."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def data_params(**changes: str | None) -> DataParams:
    """Gives the parameters of `fetch` as they are in params.yaml, with changes."""
    defaults = {"source": "x", "labels": "folders", "heic": "read", "table": None, "label": None}
    return DataParams.model_validate(defaults | changes)


def plan(
    folder: Path,
    shards: Mapping[PurePosixPath, Path] | None = None,
    corrections: Mapping[str, Correction] | None = None,
    **changes: str | None,
) -> Layout:
    """Plans how the files of a folder become images, as `fetch` does."""
    return plan_layout(folder, list_files(folder), data_params(**changes), shards or {}, corrections or {})


def plan_names(*files: str, corrections: Mapping[str, Correction] | None = None) -> Layout:
    """Plans how files that need not exist become images."""
    return plan_layout(Path("nowhere"), map(PurePosixPath, files), data_params(), {}, corrections or {})


def keys(layout: Layout) -> dict[str, str]:
    """The key of each image, by its path in the source."""
    return {str(path): key for path, key in layout.images.items()}


def unpack(archives: Sequence[Path], target: Path) -> dict[PurePosixPath, Path]:
    """Unpacks archives as `fetch` does; returns the archive of each file."""
    target.mkdir(exist_ok=True)
    return {path: archive for archive in archives for path in unpack_archive(archive, target)}
