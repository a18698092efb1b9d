"""The engine that answers which indexed images look like some others; `query.py`, the service and notebooks use it.

What only an image that is not indexed needs is imported where it is used, so that a key is answered at once.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from mmap import mmap
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from similarity.engine.files import NEEDED, OPTIONAL, SEARCHED, ImageFiles, ProjectFiles
from similarity.engine.results import Failure, Options, Query, Result
from similarity.errors import UserError
from similarity.index.inverted_index import find_neighbors
from similarity.layout import IMAGES, INVERTED_INDEX

if TYPE_CHECKING:
    from similarity.engine.embedding import Embedded, ImageEmbedder
    from similarity.engine.gallery import Gallery
    from similarity.evaluation.novelty import Novelty

Progress: TypeAlias = Callable[[Iterable, int], Iterable]
"""Wraps the iteration over some images, given their number, to show how far it is."""


class Prepared(NamedTuple):
    """A query as it is compared with the gallery.

    Attributes:
        query: the query.
        embedding: float32 (E,); None for an indexed image, whose stored neighbors may do.
        excluded: rows not to return.
        embedded: the images of the query that are not indexed.
        distance: from the nearest of these to the gallery, in the features, if no image of the query is indexed.
        seconds: that embedding took, if there was any.
    """

    query: Query
    embedding: np.ndarray | None = None
    excluded: Sequence[int] = ()
    embedded: "Sequence[Embedded]" = ()
    distance: float | None = None
    seconds: float | None = None


class Engine:
    """The indexed images of a project. Threads may share it. What is needed is loaded on first use, all from one run.

    Attributes:
        root: the folder of the project.
        files: its files.
    """

    def __init__(
        self,
        root: Path,
        open_gallery: "Callable[[ProjectFiles], Gallery] | None" = None,
        batch_sizes: Sequence[int] = (1, 16),
        max_pixels: int | None = None,
    ) -> None:
        """Open nothing yet; see `open_index`.

        Args:
            root: the folder of the project.
            open_gallery: opens the images to search, if their embeddings are not in the project's files.
            batch_sizes: numbers of images that the backbone is prepared for.
            max_pixels: uploads of more are refused.
        """
        self.root, self.files = root, ProjectFiles(root)
        self._open_gallery, self._batch_sizes, self._max_pixels = open_gallery, batch_sizes, max_pixels
        self._loading = RLock()
        self._embed: ImageEmbedder | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def keys(self) -> list[str]:
        """The key ``<class>/<name>`` of each image, sorted."""
        return self.gallery.manifest.keys

    @cached_property
    def map(self) -> dict[str, np.ndarray]:
        """The places of all images in the plane; see `ProjectFiles.open_map`."""
        found = self.files.open_map()
        return found if all(len(places) == len(self) for places in found.values()) else {}

    @cached_property
    def gallery(self) -> "Gallery":
        """All that is searched."""
        with self._loading:
            return (self._open_gallery or ProjectFiles.open_gallery)(self.files)

    @cached_property
    def novelty(self) -> "Novelty":
        """What decides whether an image is similar to anything indexed."""
        return self.files.open_novelty()

    @property
    def stored_neighbors(self) -> int:
        """How many neighbors are stored for each image."""
        found = None if self._open_gallery else find_neighbors(self._inverted_index, self.keys[0])
        return len(found or ())

    @property
    def images(self) -> ImageFiles:
        """The files of all images, by key."""
        return ImageFiles(self.root / IMAGES, self.gallery.added)

    def load(self, with_model: bool = False) -> None:
        """Load everything but the model, or everything, so that nothing can be missing or replaced later.

        Raises:
            FileNotFoundError: a file is missing.
            UserError: a file is damaged, from another run, or was replaced while it was read.
        """
        needed = NEEDED if self._open_gallery else NEEDED + SEARCHED
        self.files.lock.check(*needed)
        for part in ("gallery", "map", "novelty"):
            getattr(self, part)
        if not self._open_gallery:
            _ = self._inverted_index
        if with_model:
            self.embedder()
        self.files.lock.check(*needed)
        self.files.check_if_there(*OPTIONAL)

    def key_of(self, name: str | os.PathLike[str]) -> str | None:
        """Return the key that a key or a path below the images names; None if there is no such image."""
        # Links are not resolved: DVC may have linked the images to its cache.
        absolute, images = (Path(os.path.normpath(Path(path).absolute())) for path in (name, self.root / IMAGES))
        key = absolute.relative_to(images).as_posix() if absolute.is_relative_to(images) else os.path.normpath(name)
        return key if self._has(key) else None

    def unknown_image(self, name: str) -> UserError:
        """Return the error for a name that is neither a key nor a file; its message lists similar keys."""
        from similarity.engine.gallery import unknown_name

        return UserError(f"{unknown_name('image', name, self.keys)}; and there is no such file")

    def embedder(self) -> "ImageEmbedder":
        """Return what embeds images that are not indexed; the model is loaded on the first call."""
        with self._loading:
            if self._embed is None:
                from similarity.engine.embedding import ImageEmbedder

                model = self.files.open_embedder(self.gallery, self._batch_sizes)
                self._embed = ImageEmbedder(model, self.novelty, max(self._batch_sizes), self._max_pixels)
            return self._embed

    def answer(
        self, queries: Sequence[Query | Failure], options: Options, progress: Progress = lambda images, _: images
    ) -> list[Result | Failure]:
        """Answer queries in order; one that fails has a `Failure` in its place, and the others are answered.

        Args:
            queries: they may hold failures already, which stay.
            options: how to search.
            progress: wraps the iteration over images that are not indexed.

        Raises:
            UserError: there is no such class, index or look.
        """
        prepared = self.prepare(queries, progress)
        return [each if isinstance(each, Failure) else self.find(each, options) for each in prepared]

    def prepare(
        self, queries: Sequence[Query | Failure], progress: Progress = lambda images, _: images
    ) -> Iterator[Prepared | Failure]:
        """Embed queries, in order; see `answer`."""
        sources = [image for query in queries if isinstance(query, Query) for image in query.images]
        regions = {query.region for query in queries if isinstance(query, Query) and query.images}
        embedded = self.embedder()(progress(sources, len(sources)), regions.pop()) if sources else iter(())
        for query in queries:
            if isinstance(query, Failure):
                yield query
                continue
            start = time.perf_counter()
            found = [next(embedded) for _ in query.images]
            seconds = time.perf_counter() - start if found else None
            try:
                prepared = self._prepare(query, found, seconds)
            except (UserError, ValueError) as error:
                yield Failure(query.name, error)
            else:
                yield prepared

    def _prepare(
        self, query: Query, found: "Sequence[Embedded | UserError | ValueError]", seconds: float | None
    ) -> Prepared:
        if query.key is not None:
            if not self._has(query.key):
                self.gallery.row(query.key)  # raises
            return Prepared(query)
        for place, each in enumerate(found, start=1):
            if isinstance(each, Exception):
                raise type(each)(f"image {place} of {len(found)}, {each}") if len(found) > 1 else each
        embedded = [each for each in found if not isinstance(each, Exception)]
        vectors = self.gallery.vectors
        named = query.keys, query.like, query.unlike
        rows, like, unlike = ([self.gallery.row(key) for key in keys] for keys in named)
        known = [] if query.region else rows
        asked = np.stack([*(each.embedding for each in embedded), *vectors[known]])
        embedding = vectors.parts.combine(asked, vectors[like], vectors[unlike])
        distance = None if known else min(each.distance for each in embedded)
        return Prepared(query, embedding, [*rows, *like, *unlike], embedded, distance, seconds)

    def find(self, prepared: Prepared, options: Options) -> Result:
        """Search for the images most similar to a query; see `answer`."""
        query, embedding, excluded = prepared[:3]
        if embedding is None:
            if stored := self._find_stored(query, options):
                return stored
            excluded = [self.gallery.row(query.keys[0])]
            embedding = self.gallery.vectors[excluded[0]]
        found, keys = self.gallery.search(embedding, options, excluded), self.keys
        neighbors = list(zip([keys[row] for row in found.rows], found.cosines.tolist(), strict=True))
        source, distance = f"search of {len(self)} images", prepared.distance
        limit = None if distance is None else self.novelty.limit
        result = Result(
            query, found.index, source, neighbors[options.offset :], found.matches, found.seconds, distance, limit
        )
        return result if result.similar or options.any else result.without_neighbors()

    def _find_stored(self, query: Query, options: Options) -> Result | None:
        """Read the stored neighbors of an image, if they are enough."""
        if self._open_gallery or not options.is_plain:
            return None
        start = time.perf_counter()
        found = find_neighbors(self._inverted_index, query.keys[0])
        if found is None or len(found) < options.end:
            return None
        neighbors, seconds = found[options.offset : options.end], time.perf_counter() - start
        return Result(query, "exact", str(self.root / INVERTED_INDEX), neighbors, None, seconds)

    def _has(self, key: str) -> bool:
        return key in self.gallery if self._open_gallery else find_neighbors(self._inverted_index, key) is not None

    @cached_property
    def _inverted_index(self) -> mmap:
        return self.files.open_inverted_index()
