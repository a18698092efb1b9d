"""Opens what the pipeline has made, for those who use it: `query.py`, `serve.py` and `export.py`."""

from pipeline.sealing import check_run

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest, read_manifest
from similarity.embedding.embedder import Embedder, load_embedding_model
from similarity.embedding.model import EmbeddingModel
from similarity.findings.finding import Finding
from similarity.findings.listing import read_findings
from similarity.index.searcher import Searcher
from similarity.layout import EMBEDDER, EMBEDDINGS, FINDINGS, MANIFEST
from similarity.novelty.reference import Reference
from similarity.opening.run_files import RunFiles


def open_searcher() -> Searcher:
    """Loads all embeddings and the approximate index; see `RunFiles` for all of these."""
    return RunFiles().open_searcher()


def open_reference() -> Reference:
    """Loads what tells whether an image that is not indexed is similar to anything."""
    return RunFiles().open_reference()


def open_embedder(searcher: Searcher, batch_sizes: Sequence[int]) -> Embedder:
    """Loads the model, and checks that it gives the stored embeddings of a few indexed images."""
    return RunFiles().open_embedder(searcher, batch_sizes)


def open_positions(path: Path) -> np.ndarray | None:
    """Loads a map, float32 (N, 2), if there is one."""
    return RunFiles().open_positions(path)


def open_splits() -> dict[str, np.ndarray] | None:
    """Loads the indexed rows of each split, int64 (n,), if the images were split; what was added since is in none."""
    return RunFiles().open_splits()


def open_findings() -> list[Finding] | None:
    """Loads the findings, the most important first, if there was an audit.

    Raises:
        UserError: the file is damaged, or of another run.
    """
    if not FINDINGS.exists():
        return None
    check_run(FINDINGS)
    return read_findings(FINDINGS)


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
    check_run(MANIFEST, EMBEDDINGS, EMBEDDER)
    return Stored(read_manifest(MANIFEST), np.load(EMBEDDINGS), load_embedding_model(EMBEDDER))
