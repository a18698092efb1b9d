"""Opening the files that are searched with, and telling whether they are of one run.

What only some files need is imported where it is used: a key is answered at once.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from similarity.digests import digest_files
from similarity.errors import UserError
from similarity.index.inverted_index import map_inverted_index
from similarity.layout import (
    ANN_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    EMBEDDER,
    EMBEDDINGS,
    INVERTED_INDEX,
    MANIFEST,
    REFERENCE,
    RUN,
    SPLITS,
)

if TYPE_CHECKING:
    from similarity.embedding.embedder import Embedder
    from similarity.embedding.model import EmbeddingModel
    from similarity.images.protocols import ImageFolder
    from similarity.index.parts import Parts
    from similarity.index.searcher import Searcher
    from similarity.index.vector_stores import VectorStore
    from similarity.novelty.reference import Reference

_CHECKED_IMAGES = 3
_CANDIDATES = 300  # for that


@dataclass(frozen=True)
class RunFiles:
    """The files of the run that was the last one when the first of them was opened.

    Each method raises a `FileNotFoundError` for a file that is not there, and a `UserError` for one that is damaged or
    of another run.

    Attributes:
        root: the folder of the project.
    """

    root: Path = Path()

    def check(self, *paths: Path) -> None:
        """Makes sure that files are as the run left them: not damaged, and not of different runs.

        Their digests are compared with those in `models/run.json`, which a run writes last.

        Args:
            paths: of files below the root, or of folders, all of whose files are checked.
        """
        sealed, found = self._sealed, digest_files(self.root / path for path in paths)
        digests = {Path(path).relative_to(self.root).as_posix(): digest for path, digest in found.items()}
        folders = tuple(f"{path.as_posix()}/" for path in paths)
        if missing := [path for path in sealed if path.startswith(folders) and path not in digests]:
            raise FileNotFoundError(errno.ENOENT, "missing", str(self.root / missing[0]))
        for path, digest in digests.items():
            if sealed.get(path) != digest:
                raise UserError(
                    f"{self.root / path} is not as the run left it that {self.root / RUN} is of: it is damaged, or "
                    "from another run, or a run is not finished: run `dvc repro`, or `dvc checkout` to go back to the "
                    "last one"
                )

    @cached_property
    def _sealed(self) -> dict[str, str]:
        """The digests of the files of the run, by their paths below the root."""
        path = self.root / RUN
        try:
            return {str(name): str(digest) for name, digest in orjson.loads(path.read_bytes()).items()}
        except (orjson.JSONDecodeError, AttributeError) as error:
            raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`") from error

    def open_inverted_index(self, copy: bool = False) -> mmap:
        """Opens the stored neighbors for `find_neighbors`; see `map_inverted_index` for `copy`."""
        self.check(INVERTED_INDEX)
        return map_inverted_index(self.root / INVERTED_INDEX, copy)

    def open_searcher(self) -> "Searcher":
        """Loads all embeddings and the approximate index."""
        from similarity.dataset.manifest import read_manifest
        from similarity.embedding.embedder import load_embedding_model
        from similarity.index.backends import load_index, load_settings
        from similarity.index.grown import grown_index
        from similarity.index.searcher import Searcher
        from similarity.index.vector_stores import InMemoryStore
        from similarity.vectors import normalize

        self.check(MANIFEST, EMBEDDINGS, ANN_INDEX, ANN_ROWS, ANN_SETTINGS, EMBEDDER)
        manifest, units = read_manifest(self.root / MANIFEST), normalize(np.load(self.root / EMBEDDINGS))
        settings = load_settings(self.root / ANN_SETTINGS)
        built = load_index(self.root / ANN_INDEX, settings.backend, units.shape[1])
        index = grown_index(built, np.load(self.root / ANN_ROWS), units)
        parts = parts_of(load_embedding_model(self.root / EMBEDDER))
        return Searcher(manifest, InMemoryStore(units, index, settings.search_k, parts))

    def open_reference(self) -> "Reference":
        """Loads what tells whether an image that is not indexed is similar to anything."""
        from similarity.novelty.reference import load_reference

        self.check(REFERENCE)
        return load_reference(self.root / REFERENCE)

    def open_embedder(self, searcher: "Searcher", batch_sizes: Sequence[int]) -> "Embedder":
        """Loads the model, and checks that it gives the stored embeddings of a few indexed images.

        Args:
            searcher: of the indexed images.
            batch_sizes: numbers of images that the backbone is prepared for.
        """
        from similarity.embedding.embedder import load_embedder
        from similarity.features.computing import load_pixels

        self.check(EMBEDDER)
        embedder = load_embedder(self.root / EMBEDDER, batch_sizes)
        rows = _rows_to_check(searcher.vectors)
        size = embedder.extractor.image_size
        images = self.open_images()
        pixels = [load_pixels(images / searcher.manifest.keys[row], size) for row in rows]
        embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), searcher.vectors[rows])
        return embedder

    def open_images(self) -> "ImageFolder":
        """The files of all indexed images."""
        from similarity.dataset.image_folders import open_indexed_images

        return open_indexed_images(self.root)

    def open_positions(self, path: Path) -> np.ndarray | None:
        """Loads a map, float32 (N, 2), from its path below the root, if there is one."""
        if not (self.root / path).exists():
            return None
        self.check(path)
        return np.load(self.root / path)

    def open_splits(self) -> dict[str, np.ndarray] | None:
        """Loads the indexed rows of each split, int64 (n,), if there are splits; images that were added are in none."""
        from similarity.dataset.manifest import SPLIT_NAMES, read_split_names

        if not (self.root / SPLITS).exists():
            return None
        self.check(SPLITS, ANN_ROWS)
        split_of, rows = read_split_names(self.root / SPLITS), np.load(self.root / ANN_ROWS)
        return {split: rows[(split_of == split) & (rows >= 0)] for split in SPLIT_NAMES}


def parts_of(model: "EmbeddingModel") -> "Parts":
    """The parts of a model's embeddings."""
    from similarity.index.parts import Parts

    return Parts(model.size, model.class_size, model.visual_weight)


def _rows_to_check(vectors: "VectorStore") -> list[int]:
    """A few rows, evenly chosen among some whose embeddings are not all zeros."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, _CANDIDATES).astype(int))
    rows = rows[vectors[rows].any(axis=1)]
    return rows[:: max(1, len(rows) // _CHECKED_IMAGES)][:_CHECKED_IMAGES].tolist()
