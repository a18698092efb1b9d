"""Opens what the pipeline has made, for those who use it: `query.py`, `serve.py` and `export.py`."""

from pipeline.indexed_images import indexed_images
from pipeline.paths import (
    ANN_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    AUDIT,
    EMBEDDER,
    EMBEDDINGS,
    INDEX_MANIFEST,
    METRICS,
    REFERENCE,
    SPLITS,
)
from pipeline.sealing import check_run

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from similarity.dataset.manifest import SPLIT_NAMES, Manifest, read_manifest, read_split_names
from similarity.embedding.embedder import Embedder, load_embedder, load_embedding_model
from similarity.embedding.model import EmbeddingModel
from similarity.errors import UserError
from similarity.features.computing import load_pixels
from similarity.findings.finding import Finding
from similarity.findings.listing import read_findings
from similarity.index.backends import load_index, load_settings
from similarity.index.grown import grown_index
from similarity.index.parts import Parts
from similarity.index.searcher import Searcher
from similarity.index.vector_stores import InMemoryStore, VectorStore
from similarity.novelty.reference import Reference, load_reference
from similarity.vectors import normalize

_CHECKED_IMAGES = 3
_CANDIDATES = 300  # for that


def open_searcher() -> Searcher:
    """Loads all embeddings and the approximate index.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files are damaged or do not belong together.
    """
    check_run(INDEX_MANIFEST, EMBEDDINGS, ANN_INDEX, ANN_ROWS, ANN_SETTINGS, EMBEDDER)
    manifest, units = read_manifest(INDEX_MANIFEST), normalize(np.load(EMBEDDINGS))
    settings = load_settings(ANN_SETTINGS)
    index = grown_index(load_index(ANN_INDEX, settings.backend, units.shape[1]), np.load(ANN_ROWS), units)
    model = load_embedding_model(EMBEDDER)
    return Searcher(manifest, InMemoryStore(units, index, settings.search_k, parts_of(model)))


def parts_of(model: EmbeddingModel) -> Parts:
    """The parts of a model's embeddings."""
    return Parts(model.size, model.class_size, model.visual_weight)


def open_reference() -> Reference:
    """Loads what tells whether an image that is not indexed is similar to anything.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the file is damaged, or of another run.
    """
    check_run(REFERENCE)
    return load_reference(REFERENCE)


def _rows_to_check(vectors: VectorStore) -> list[int]:
    """A few rows, evenly chosen among some whose embeddings are not all zeros."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, _CANDIDATES).astype(int))
    rows = rows[vectors[rows].any(axis=1)]
    return rows[:: max(1, len(rows) // _CHECKED_IMAGES)][:_CHECKED_IMAGES].tolist()


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
    rows = _rows_to_check(searcher.vectors)
    size = embedder.extractor.image_size
    images = indexed_images()
    pixels = [load_pixels(images / searcher.manifest.keys[row], size) for row in rows]
    embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), searcher.vectors[rows])
    return embedder


def open_positions(path: Path) -> np.ndarray | None:
    """Loads a map, float32 (N, 2), if there is one.

    Raises:
        UserError: the file is damaged, or of another run.
    """
    if not path.exists():
        return None
    check_run(path)
    return np.load(path)


def open_splits() -> dict[str, np.ndarray] | None:
    """Loads the indexed rows of each split, int64 (n,), if the images were split; what was added since is in none.

    Raises:
        UserError: the file is damaged, or of another run.
    """
    if not SPLITS.exists():
        return None
    check_run(SPLITS, ANN_ROWS)
    split_of, rows = read_split_names(SPLITS), np.load(ANN_ROWS)
    return {split: rows[(split_of == split) & (rows >= 0)] for split in SPLIT_NAMES}


def open_findings() -> list[Finding] | None:
    """Loads the findings, the most important first, if there was an audit.

    Raises:
        UserError: the file is damaged, or of another run.
    """
    if not AUDIT.exists():
        return None
    check_run(AUDIT)
    return read_findings(AUDIT)


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


def open_stored() -> Stored:
    """Loads the trained part of the model and the embeddings that it gave.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files are damaged or do not belong together.
    """
    check_run(INDEX_MANIFEST, EMBEDDINGS, EMBEDDER)
    return Stored(read_manifest(INDEX_MANIFEST), np.load(EMBEDDINGS), load_embedding_model(EMBEDDER))
