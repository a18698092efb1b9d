"""Opens what the pipeline has made, for those who use it: `query.py`, `serve.py` and `export.py`."""

from pipeline.origin import describe_origin
from pipeline.paths import (
    ANN_INDEX,
    ANN_SETTINGS,
    EMBEDDER,
    EMBEDDINGS,
    IMAGES,
    INVERTED_INDEX,
    MANIFEST,
    MAP,
    METRICS,
    REFERENCE,
)

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from similarity.dataset.manifest import Manifest, read_manifest
from similarity.embedding.embedder import Embedder, load_embedder, load_embedding_model
from similarity.embedding.model import EmbeddingModel
from similarity.errors import UserError
from similarity.features.computing import load_pixels
from similarity.index.backends import AnnIndex, load_index, load_settings
from similarity.index.inverted_index import find_neighbors, map_inverted_index
from similarity.index.searcher import Searcher
from similarity.novelty.reference import Reference, load_reference
from similarity.vectors import normalize

_CHECKED_IMAGES = 3
_ROUNDING = 3e-6  # of cosines that were computed in blocks and one by one


@contextmanager
def _reporting_damage() -> Iterator[None]:
    """Turns what the readers of damaged files raise, which is anything, into a line that tells what to do."""
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"a file in data/ or models/ is damaged ({reason}): run `dvc checkout`, or `dvc repro`"
        ) from error


@_reporting_damage()
def open_searcher() -> Searcher:
    """Loads all embeddings and the approximate index.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files are damaged or do not belong together.
    """
    manifest, embeddings = read_manifest(MANIFEST), np.load(EMBEDDINGS)
    settings = load_settings(ANN_SETTINGS)
    index = load_index(ANN_INDEX, settings.backend, embeddings.shape[1])
    model = load_embedding_model(EMBEDDER)
    searcher = Searcher(
        manifest, normalize(embeddings), index, settings.search_k, model.class_size, model.visual_weight
    )
    if not (len(manifest.records) == len(embeddings) == len(index) and _has_vectors(index, searcher.units)):
        raise UserError(f"{MANIFEST}, {EMBEDDINGS} and {ANN_INDEX} are not from the same run: run `dvc repro`")
    _check_stored_neighbors(searcher)
    return searcher


@_reporting_damage()
def open_reference() -> Reference:
    """Loads what tells whether an image that is not indexed is similar to anything.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the file is damaged, or was made with another backbone or for other images.
    """
    reference = load_reference(REFERENCE)
    if reference.origin != describe_origin(EMBEDDER):
        raise UserError(
            f"{REFERENCE} was made with another backbone or other images: run `dvc repro`, or `dvc checkout`"
        )
    return reference


def _has_vectors(index: AnnIndex, units: np.ndarray) -> bool:
    rows = _spread(np.arange(len(units)))
    return np.allclose(normalize(np.stack([index.vector(row) for row in rows])), units[rows], atol=_ROUNDING)


def _check_stored_neighbors(searcher: Searcher) -> None:
    """Compares the cosines in the inverted index with those of the embeddings, for a few images."""
    stored = map_inverted_index(INVERTED_INDEX)
    for row in _spread(np.arange(len(searcher.units))):
        neighbors = find_neighbors(stored, searcher.manifest.keys[row])
        found = searcher.similar_to_row(row, len(neighbors or []), index="exact").neighbors
        cosines = [cosine for _, cosine in neighbors or []]
        if neighbors is None or not np.allclose(cosines, [each.cosine for each in found], atol=_ROUNDING):
            raise UserError(f"{INVERTED_INDEX} and {EMBEDDINGS} are not from the same run: run `dvc repro`")


def _spread(rows: np.ndarray) -> list[int]:
    """A few of the rows, evenly chosen."""
    return rows[:: max(1, len(rows) // _CHECKED_IMAGES)][:_CHECKED_IMAGES].tolist()


@_reporting_damage()
def open_embedder(searcher: Searcher, batch_sizes: Sequence[int]) -> Embedder:
    """Loads the model, and checks that it gives the stored embeddings of a few indexed images.

    Args:
        searcher: of the indexed images.
        batch_sizes: numbers of images that the backbone is prepared for.

    Raises:
        FileNotFoundError: the pipeline has not run, or an indexed image is gone.
        UserError: the model is not the one that made the embeddings.
    """
    embedder = load_embedder(EMBEDDER, batch_sizes)
    rows = _spread(np.flatnonzero(searcher.units.any(axis=1)))
    size = embedder.extractor.image_size
    pixels = [load_pixels(IMAGES / searcher.manifest.keys[row], size) for row in rows]
    embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), searcher.units[rows])
    return embedder


@_reporting_damage()
def open_positions(images: int) -> np.ndarray | None:
    """Loads the map, float32 (images, 2), unless there is none, or one of other images."""
    positions = np.load(MAP) if MAP.exists() else None
    return positions if positions is not None and len(positions) == images else None


def read_metrics() -> dict[str, dict]:
    """Reads all metrics files, by their names.

    Raises:
        UserError: one is no JSON, as after a merge with conflicts.
    """
    return {path.stem: _read_json(path) for path in sorted(METRICS.glob("*.json"))}


def _read_json(path: Path) -> dict:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON ({error}): run `git checkout HEAD -- {path}`, or `dvc repro`") from error


class Stored(NamedTuple):
    """What an export is made from and checked with; embeddings are float32 (N, E + K), a row per image."""

    manifest: Manifest
    embeddings: np.ndarray
    model: EmbeddingModel


@_reporting_damage()
def open_stored() -> Stored:
    """Loads the trained part of the model and the embeddings that it gave.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files are damaged or do not belong together.
    """
    stored = Stored(read_manifest(MANIFEST), np.load(EMBEDDINGS), load_embedding_model(EMBEDDER))
    if stored.embeddings.shape != (len(stored.manifest.records), stored.model.size):
        raise UserError(f"{MANIFEST}, {EMBEDDINGS} and {EMBEDDER} are not from the same run: run `dvc repro`")
    return stored
