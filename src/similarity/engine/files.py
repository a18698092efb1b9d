"""Opening the files that are searched, after checking that they belong together.

What only some files need is imported where it is used, so that stored neighbors are read at once.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similarity.engine.dvc_lock import DvcLock
from similarity.index.inverted_index import map_inverted_index
from similarity.layout import (
    ANN_INDEX,
    ANN_SETTINGS,
    EMBEDDER,
    EMBEDDINGS,
    FINDINGS,
    IMAGES,
    INVERTED_INDEX,
    MANIFEST,
    MAP,
    NOVELTY,
    SPLITS,
)

if TYPE_CHECKING:
    from similarity.dataset.manifest import Manifest
    from similarity.embedding.embedder import Embedder
    from similarity.engine.gallery import Gallery
    from similarity.evaluation.novelty import Novelty
    from similarity.findings.finding import Finding
    from similarity.index.stores import Parts

NEEDED = (EMBEDDER, NOVELTY)
SEARCHED = (MANIFEST, EMBEDDINGS, INVERTED_INDEX, ANN_INDEX, ANN_SETTINGS)
OPTIONAL = (SPLITS, FINDINGS, MAP)
_CHECKED_IMAGES, _CANDIDATES = 3, 300


def images_below(folder: Path) -> list[Path]:
    """Return the paths of all images in a folder and below it, by their names, sorted; hidden ones are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    from similarity.images.decoding import IMAGE_SUFFIXES

    def fail(error: OSError) -> None:
        raise error

    found = []
    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in files if not name.startswith(".")]
    return sorted((path for path in found if path.suffix.lower() in IMAGE_SUFFIXES), key=str)


class ImageFiles(NamedTuple):
    """The files of indexed images: in the folder of all images, or elsewhere if they were added later.

    Attributes:
        folder: of all images.
        added: the files of the others, by key.
    """

    folder: Path
    added: Mapping[str, Path]

    def __truediv__(self, key: str) -> Path:
        """Return the file of an image."""
        return self.added.get(key, self.folder / key)


class ProjectFiles:
    """The files that dvc.lock recorded when the first of them was opened; a later run's are refused.

    Each method raises a `FileNotFoundError` for a file that is missing, and a `UserError` for one that is damaged or
    from another run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def lock(self) -> DvcLock:
        """What dvc.lock recorded."""
        return DvcLock(self.root)

    def checked(self, path: Path) -> Path:
        """Check a file or folder, and return where it is."""
        self.lock.check(path)
        return self.root / path

    def check_if_there(self, *paths: Path) -> None:
        """Check those files that exist."""
        self.lock.check(*(path for path in paths if (self.root / path).exists()))

    def open_inverted_index(self) -> mmap:
        """Open the stored neighbors; see `map_inverted_index`."""
        return map_inverted_index(self.checked(INVERTED_INDEX))

    def open_gallery(self) -> "Gallery":
        """Load all that is searched."""
        from similarity.dataset.manifest import read_manifest
        from similarity.engine.gallery import Gallery
        from similarity.index.approximate import AnnoyForest, load_search_k
        from similarity.index.stores import InMemoryStore
        from similarity.vectors import normalize

        self.lock.check(MANIFEST, EMBEDDINGS, ANN_INDEX, ANN_SETTINGS, EMBEDDER)
        manifest, units = read_manifest(self.root / MANIFEST), normalize(np.load(self.root / EMBEDDINGS))
        forest = AnnoyForest.load(self.root / ANN_INDEX, units.shape[1])
        store = InMemoryStore(units, forest, load_search_k(self.root / ANN_SETTINGS), self.open_parts())
        return Gallery(manifest, store, self.open_splits(manifest), self.open_findings())

    def open_parts(self) -> "Parts":
        """Load how embeddings are made of two parts."""
        from similarity.embedding.embedder import load_embedding_model
        from similarity.index.stores import Parts

        model = load_embedding_model(self.checked(EMBEDDER))
        return Parts(model.size, model.class_size, model.visual_weight)

    def open_splits(self, manifest: "Manifest") -> np.ndarray | None:
        """Load the place in `SPLIT_NAMES` of each image's split, int8 (N,), if the images were split."""
        from similarity.dataset.manifest import SPLIT_NAMES, read_splits

        if not (self.root / SPLITS).exists():
            return None
        places = np.full(len(manifest.records), -1, np.int8)
        for name, rows in read_splits(self.checked(SPLITS), manifest).items():
            places[rows] = SPLIT_NAMES.index(name)
        return places

    def open_findings(self) -> "list[Finding] | None":
        """Load what the audit lists, the most important first, if there was one."""
        from similarity.findings.finding import read_findings

        return read_findings(self.checked(FINDINGS)) if (self.root / FINDINGS).exists() else None

    def open_map(self) -> dict[str, np.ndarray]:
        """Load the places of all images in the plane, float32 (N, 2): ``all``, and ``look`` by the visual part alone.

        Both are missing if there is no map.
        """
        if not (self.root / MAP).exists():
            return {}
        with np.load(self.checked(MAP)) as arrays:
            return dict(arrays)

    def open_novelty(self) -> "Novelty":
        """Load what decides whether an image is similar to anything indexed."""
        from similarity.evaluation.novelty import load_novelty

        return load_novelty(self.checked(NOVELTY))

    def open_embedder(self, gallery: "Gallery", batch_sizes: Sequence[int]) -> "Embedder":
        """Load the model, and check that it computes the stored embeddings of a few images.

        Args:
            gallery: the images.
            batch_sizes: numbers of images that the backbone is prepared for.
        """
        from similarity.embedding.embedder import load_embedder
        from similarity.features.computing import load_pixels

        embedder, vectors = load_embedder(self.checked(EMBEDDER), batch_sizes), gallery.vectors
        rows = np.unique(np.linspace(0, len(vectors) - 1, _CANDIDATES).astype(int))
        rows = rows[vectors[rows].any(axis=1)]  # the others have no cosine
        rows = rows[:: max(1, len(rows) // _CHECKED_IMAGES)][:_CHECKED_IMAGES]
        size, images = embedder.extractor.image_size, ImageFiles(self.root / IMAGES, gallery.added)
        pixels = [load_pixels(images / gallery.manifest.keys[row], size) for row in rows]
        embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), vectors[rows])
        return embedder
