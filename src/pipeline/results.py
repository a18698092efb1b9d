"""What an export is made from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest, read_manifest
from similarity.embedding.embedder import load_embedding_model
from similarity.embedding.model import EmbeddingModel
from similarity.engine.dvc_lock import DvcLock
from similarity.layout import EMBEDDER, EMBEDDINGS, MANIFEST


class Stored(NamedTuple):
    """The images, their embeddings, float32 (N, E), and the trained part of the model that computed them."""

    manifest: Manifest
    embeddings: np.ndarray
    model: EmbeddingModel


def open_stored() -> Stored:
    """Load the model and the embeddings of the last run.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files are damaged or do not belong together.
    """
    DvcLock(Path()).check(MANIFEST, EMBEDDINGS, EMBEDDER)
    return Stored(read_manifest(MANIFEST), np.load(EMBEDDINGS), load_embedding_model(EMBEDDER))
