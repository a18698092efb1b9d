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
    ANN_SETTINGS,
    EMBEDDER,
    EMBEDDINGS,
    IMAGES,
    INVERTED_INDEX,
    MANIFEST,
    REFERENCE,
    RUN,
)

if TYPE_CHECKING:
    from similarity.embedding.embedder import Embedder
    from similarity.index.searcher import Searcher
    from similarity.novelty.reference import Reference

_CHECKED_IMAGES = 3


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
        from similarity.index.searcher import Searcher
        from similarity.vectors import normalize

        self.check(MANIFEST, EMBEDDINGS, ANN_INDEX, ANN_SETTINGS, EMBEDDER)
        manifest, embeddings = read_manifest(self.root / MANIFEST), np.load(self.root / EMBEDDINGS)
        settings = load_settings(self.root / ANN_SETTINGS)
        index = load_index(self.root / ANN_INDEX, settings.backend, embeddings.shape[1])
        model = load_embedding_model(self.root / EMBEDDER)
        units = normalize(embeddings)
        return Searcher(manifest, units, index, settings.search_k, model.class_size, model.visual_weight)

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
        from similarity.images.shards import open_images

        self.check(EMBEDDER)
        embedder = load_embedder(self.root / EMBEDDER, batch_sizes)
        rows = _spread(np.flatnonzero(searcher.units.any(axis=1)))
        size = embedder.extractor.image_size
        images = open_images(self.root / IMAGES)
        pixels = [load_pixels(images / searcher.manifest.keys[row], size) for row in rows]
        embedder.check(np.reshape(pixels, (len(rows), size, size, 3)), searcher.units[rows])
        return embedder

    def open_positions(self, path: Path) -> np.ndarray | None:
        """Loads a map, float32 (N, 2), from its path below the root, if there is one."""
        if not (self.root / path).exists():
            return None
        self.check(path)
        return np.load(self.root / path)


def _spread(rows: np.ndarray) -> list[int]:
    """A few of the rows, evenly chosen."""
    return rows[:: max(1, len(rows) // _CHECKED_IMAGES)][:_CHECKED_IMAGES].tolist()
