"""The files of a project that are searched: opened when they are first needed, and all of one run.

What only some of them need is imported where it is used, so that stored neighbors are read at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from mmap import mmap
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

import orjson

from similarity.engine.dvc_lock import DvcLock
from similarity.index.inverted_index import find_neighbors, map_inverted_index
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
    RANGES,
    SPLITS,
)

if TYPE_CHECKING:
    import numpy as np

    from similarity.data.dataset.manifest import Manifest
    from similarity.data.images.wide import Ranges
    from similarity.engine.embedding import ImageEmbedder
    from similarity.engine.gallery import Gallery
    from similarity.engine.stores import Parts
    from similarity.evaluation.likeness import Likeness
    from similarity.evaluation.novelty import Novelty
    from similarity.findings.finding import Finding

NEEDED = (EMBEDDER, NOVELTY, RANGES)
SEARCHED = (MANIFEST, EMBEDDINGS, INVERTED_INDEX, ANN_INDEX, ANN_SETTINGS)
OPTIONAL = (SPLITS, FINDINGS, MAP)
_CHECKED_IMAGES, _CANDIDATES = 3, 300


class ImageFiles(NamedTuple):
    """The files of indexed images, by key: in the folder of all images, or elsewhere if they were added later."""

    folder: Path
    added: Mapping[str, Path]

    def __truediv__(self, key: str) -> Path:
        """Return the file of an image."""
        return self.added.get(key, self.folder / key)


class Project:
    """The files that dvc.lock recorded when the first of them was opened. Threads may share it.

    Whatever opens a file raises a `FileNotFoundError` if it is missing, and a `UserError` if it is damaged or from
    another run.

    Attributes:
        root: the folder of the project.
    """

    def __init__(
        self, root: Path, published: bool = False, batch_sizes: Sequence[int] = (1, 16), max_pixels: int | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            root: the folder of the project.
            published: search what is published to SIMILARITY_URI, rather than the project's own embeddings.
            batch_sizes: numbers of images that the backbone is prepared for.
            max_pixels: uploads of more are refused.
        """
        self.root = root
        self._is_published, self._batch_sizes, self._max_pixels = published, batch_sizes, max_pixels
        self._loading = RLock()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def keys(self) -> list[str]:
        """The key ``<class>/<name>`` of each image, sorted."""
        return self.gallery.manifest.keys

    @cached_property
    def lock(self) -> DvcLock:
        """What dvc.lock recorded."""
        return DvcLock(self.root)

    def load(self, with_model: bool = False) -> None:
        """Load everything but the model, or everything, so that nothing can be missing or replaced later."""
        needed = NEEDED if self._is_published else NEEDED + SEARCHED
        self.lock.check(*needed)
        loaded = [self.gallery, self.map, self.novelty, self.likeness]
        loaded += [] if self._is_published else [self._inverted_index]
        loaded += [self.embedder] if with_model else []
        self.lock.check(*needed, *(path for path in OPTIONAL if self._has(path)))

    @cached_property
    def gallery(self) -> Gallery:
        """All that is searched."""
        with self._loading:
            if not self._is_published:
                return self._open_gallery()
            from similarity.engine.published import VARIABLE, open_table, table_of

            return open_table(os.environ.get(VARIABLE, ""), table_of(self.lock), self.parts, self.findings)

    @property
    def images(self) -> ImageFiles:
        """The files of all images, by key."""
        return ImageFiles(self.root / IMAGES, self.gallery.added)

    @cached_property
    def parts(self) -> Parts:
        """How embeddings are made of two parts."""
        from similarity.embedding.embedder import load_embedding_model
        from similarity.engine.stores import Parts

        model = load_embedding_model(self._checked(EMBEDDER))
        return Parts(model.size, model.class_size, model.visual_weight)

    @cached_property
    def findings(self) -> list[Finding] | None:
        """What the audit lists, the most important first, if there was one."""
        from similarity.findings.finding import read_findings

        return read_findings(self._checked(FINDINGS)) if self._has(FINDINGS) else None

    @cached_property
    def map(self) -> dict[str, np.ndarray]:
        """The places of all images in the plane, float32 (N, 2): ``all``, and ``look`` by the visual part alone.

        Both are missing if there is no map of these images.
        """
        import numpy as np

        if not self._has(MAP):
            return {}
        with np.load(self._checked(MAP)) as arrays:
            found = dict(arrays)
        return found if all(len(places) == len(self) for places in found.values()) else {}

    @cached_property
    def novelty(self) -> Novelty:
        """What decides whether an image is similar to anything indexed."""
        from similarity.evaluation.novelty import load_novelty

        return load_novelty(self._checked(NOVELTY))

    @cached_property
    def ranges(self) -> Ranges:
        """The samples that are black and white in images of more than 8 bits."""
        from similarity.data.images.wide import read_ranges

        return read_ranges(self._checked(RANGES))

    @cached_property
    def likeness(self) -> Likeness:
        """The scale of likeness."""
        from similarity.evaluation.likeness import load_likeness

        return load_likeness(self._checked(NOVELTY))

    @property
    def embedder(self) -> ImageEmbedder:
        """What embeds images that are not indexed, with a model that gives the stored embeddings of a few images."""
        with self._loading:
            return self._embedder

    def stored_neighbors(self, key: str) -> list[tuple[str, float]] | None:
        """Read the neighbors that are stored for an image; None if there are none, or no such image."""
        return None if self._is_published else find_neighbors(self._inverted_index, key)

    def key_of(self, name: str) -> str | None:
        """Return the key that a key or a path below the images names; None if there is no such image."""
        # Links are not resolved: DVC may have linked the images to its cache.
        absolute, images = (Path(os.path.normpath(Path(path).absolute())) for path in (name, self.root / IMAGES))
        key = absolute.relative_to(images).as_posix() if absolute.is_relative_to(images) else os.path.normpath(name)
        return key if self.has(key) else None

    def has(self, key: str) -> bool:
        """Whether there is an image with this key."""
        return key in self.gallery if self._is_published else self.stored_neighbors(key) is not None

    def _has(self, path: Path) -> bool:
        return (self.root / path).exists() and self.lock.is_current(path)

    def _checked(self, path: Path) -> Path:
        self.lock.check(path)
        return self.root / path

    def _open_gallery(self) -> Gallery:
        import numpy as np

        from similarity.data.dataset.manifest import read_manifest
        from similarity.data.vectors import normalize
        from similarity.engine.gallery import Gallery
        from similarity.engine.stores import InMemoryStore
        from similarity.index.approximate import AnnoyForest

        self.lock.check(MANIFEST, EMBEDDINGS, ANN_INDEX, ANN_SETTINGS, EMBEDDER)
        manifest, units = read_manifest(self.root / MANIFEST), normalize(np.load(self.root / EMBEDDINGS))
        forest = AnnoyForest.load(self.root / ANN_INDEX, units.shape[1])
        search_k = orjson.loads((self.root / ANN_SETTINGS).read_bytes())["search_k"]
        store = InMemoryStore(units, forest, search_k, self.parts)
        return Gallery(manifest, store, self._read_splits(manifest), self.findings)

    def _read_splits(self, manifest: Manifest) -> np.ndarray | None:
        """Read the place in `SPLIT_NAMES` of each image's split, int8 (N,), if the images were split."""
        import numpy as np

        from similarity.data.dataset.manifest import SPLIT_NAMES, read_splits

        if not self._has(SPLITS):
            return None
        places = np.full(len(manifest.records), -1, np.int8)
        for name, rows in read_splits(self._checked(SPLITS), manifest).items():
            places[rows] = SPLIT_NAMES.index(name)
        return places

    @cached_property
    def _inverted_index(self) -> mmap:
        return map_inverted_index(self._checked(INVERTED_INDEX))

    @cached_property
    def _embedder(self) -> ImageEmbedder:
        import numpy as np

        from similarity.data.features.computing import load_pixels
        from similarity.embedding.embedder import load_embedder
        from similarity.engine.embedding import ImageEmbedder

        model, gallery = load_embedder(self._checked(EMBEDDER), self._batch_sizes), self.gallery
        rows = np.unique(np.linspace(0, len(gallery.vectors) - 1, _CANDIDATES).astype(int))
        rows = rows[gallery.vectors[rows].any(axis=1)]  # the others have no cosine
        rows = rows[:: max(1, len(rows) // _CHECKED_IMAGES)][:_CHECKED_IMAGES]
        size = model.extractor.image_size
        pixels = [load_pixels(self.images / gallery.manifest.keys[row], size, ranges=self.ranges) for row in rows]
        model.check(np.reshape(pixels, (len(rows), size, size, 3)), gallery.vectors[rows])
        return ImageEmbedder(model, self.novelty, max(self._batch_sizes), self._max_pixels, self.ranges)


def images_below(folder: Path) -> list[Path]:
    """Return the paths of all images in a folder and below it, sorted by name; hidden ones are left out."""
    from similarity.data.images.formats import IMAGE_SUFFIXES

    def is_shown(path: Path) -> bool:
        return not any(part.startswith(".") for part in path.relative_to(folder).parts)

    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and is_shown(path))
    return sorted(found, key=str)
