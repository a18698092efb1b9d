"""Opens what the pipeline has made, for those who ask it: `query.py` and `serve.py`."""

from collections.abc import Sequence

import numpy as np

from similarity.ann import load_index
from similarity.embedder import Embedder
from similarity.errors import UserError
from similarity.extractor import load_extractor
from similarity.features import load_pixels
from similarity.head import load_head
from similarity.manifest import read_manifest
from similarity.neighbors import normalize
from similarity.params import load_params
from similarity.search import Searcher
from stage import ANN_INDEX, BACKBONE, EMBEDDINGS, HEAD, IMAGES, MANIFEST

_CHECKED_IMAGES = 3


def open_searcher() -> Searcher:
    """Loads all embeddings and the Annoy index.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files do not belong together.
    """
    manifest, embeddings = read_manifest(MANIFEST), np.load(EMBEDDINGS)
    index = load_index(ANN_INDEX, embeddings.shape[1])
    if not len(manifest.records) == len(embeddings) == index.get_n_items():
        raise UserError(
            f"{MANIFEST}, {EMBEDDINGS} and {ANN_INDEX} list {len(manifest.records)}, {len(embeddings)} and "
            f"{index.get_n_items()} images: run `dvc repro`"
        )
    return Searcher(manifest, normalize(embeddings), index, load_params().ann.search_k)


def open_embedder(searcher: Searcher, batch_sizes: Sequence[int]) -> Embedder:
    """Loads the model, and checks that it gives the stored embeddings of a few indexed images.

    Args:
        searcher: of the indexed images.
        batch_sizes: numbers of images that the backbone is prepared for.

    Raises:
        FileNotFoundError: the pipeline has not run, or an indexed image is gone.
        UserError: the model is not the one that made the embeddings.
    """
    embedder = Embedder(load_extractor(BACKBONE, batch_sizes), load_head(HEAD))
    candidates = np.flatnonzero(searcher.units.any(axis=1))
    rows = candidates[:: max(1, len(candidates) // _CHECKED_IMAGES)][:_CHECKED_IMAGES]
    size = embedder.extractor.image_size
    pixels = [load_pixels(IMAGES / searcher.manifest.keys[row], size) for row in rows]
    embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), searcher.units[rows])
    return embedder
