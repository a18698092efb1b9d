"""The engine that answers which images look alike: `query.py`, the service and `open_index` all ask it.

What only an image that is not indexed needs is imported where it is used, so that a key is answered at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from mmap import mmap
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from similarity import layout
from similarity.data.evaluation.likeness import load_likeness, words
from similarity.engine.dvc_lock import DvcLock
from similarity.engine.results import Failure, Match, Options, Query, Result
from similarity.errors import UserError
from similarity.index import find_neighbors, map_inverted_index

if TYPE_CHECKING:
    import numpy as np

    from similarity.data.evaluation.likeness import Likeness
    from similarity.data.evaluation.novelty import Novelty
    from similarity.data.images.wide import Ranges
    from similarity.engine.embedding import Embedded, ImageEmbedder
    from similarity.engine.gallery import Gallery, ImageFiles

NEEDED = (layout.EMBEDDER, layout.NOVELTY, layout.RANGES)
SEARCHED = (layout.MANIFEST, layout.EMBEDDINGS, layout.INVERTED_INDEX, layout.ANN_INDEX, layout.ANN_SETTINGS)
OPTIONAL = (layout.SPLITS, layout.FINDINGS, layout.MAP)


@dataclass(eq=False, repr=False)
class Engine:
    """Answers queries with the files of a project, those that dvc.lock recorded when it was opened first.

    Files are opened when they are first needed: a missing one raises a `FileNotFoundError`, and one that is damaged or
    from another run a `UserError`. Threads may share an engine.
    """

    root: Path  # the folder of the project
    is_published: bool = False  # whether what is published to SIMILARITY_URI is searched, not the project's own files
    batch_sizes: Sequence[int] = (1, 16)  # numbers of images that the backbone is prepared for
    max_pixels: int | None = None  # uploads of more are refused
    _embedder: ImageEmbedder | None = field(default=None, init=False)
    _loading: Lock = field(default_factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def keys(self) -> list[str]:
        """The key ``<class>/<name>`` of each image, sorted."""
        return self.gallery.manifest.keys

    @property
    def images(self) -> ImageFiles:
        """The files of all images, by key."""
        from similarity.engine.gallery import ImageFiles

        return ImageFiles(self.root / layout.IMAGES, self.gallery.added)

    @cached_property
    def lock(self) -> DvcLock:
        """What dvc.lock recorded."""
        return DvcLock(self.root)

    def checked(self, path: Path) -> Path:
        """Return where an output is, after a check that it is what its stage made."""
        self.lock.check(path)
        return self.root / path

    def optional(self, path: Path) -> Path | None:
        """Return the checked path of an output, or None if there is none made from the present outputs."""
        return self.checked(path) if (self.root / path).exists() and self.lock.is_current(path) else None

    def load(self, with_model: bool = False) -> None:
        """Load everything but the model, or everything, so that nothing can be missing or replaced later."""
        self.lock.check(*NEEDED if self.is_published else (*NEEDED, *SEARCHED))
        _ = self.gallery, self.map, self.novelty, self.likeness, self.is_published or self._inverted_index
        if with_model:
            _ = self.embedder

    @cached_property
    def gallery(self) -> Gallery:
        """All that is searched."""
        from similarity.engine.gallery import open_gallery

        return open_gallery(self)

    @cached_property
    def map(self) -> dict[str, np.ndarray]:
        """The places of all images in the plane, float32 (N, 2): ``all``, and ``look`` by the visual part alone.

        Both are missing if there is no map of these images.
        """
        import numpy as np

        if not (path := self.optional(layout.MAP)):
            return {}
        with np.load(path) as arrays:
            found = dict(arrays)
        return found if all(len(places) == len(self) for places in found.values()) else {}

    @cached_property
    def novelty(self) -> Novelty:
        """What decides whether an image is similar to anything indexed."""
        from similarity.data.evaluation.novelty import load_novelty

        return load_novelty(self.checked(layout.NOVELTY))

    @cached_property
    def likeness(self) -> Likeness:
        """The scale of likeness."""
        return load_likeness(self.checked(layout.NOVELTY))

    @cached_property
    def ranges(self) -> Ranges:
        """The samples that are black and white in images of more than 8 bits."""
        from similarity.data.images.wide import read_ranges

        return read_ranges(self.checked(layout.RANGES))

    @cached_property
    def _inverted_index(self) -> mmap:
        return map_inverted_index(self.checked(layout.INVERTED_INDEX))

    @property
    def embedder(self) -> ImageEmbedder:
        """What embeds images that are not indexed."""
        from similarity.engine.embedding import ImageEmbedder

        with self._loading:
            self._embedder = self._embedder or ImageEmbedder(self)
            return self._embedder

    def stored_neighbors(self, key: str) -> list[tuple[str, float]] | None:
        """Read the neighbors that are stored for an image; None if there are none, or no such image."""
        return None if self.is_published else find_neighbors(self._inverted_index, key)

    def resolve(self, name: str) -> Query | Failure:
        """Return the query that a key or the path of a file stands for; a key comes first."""
        # Links are not resolved: DVC may have linked the images to its cache.
        absolute, images = (Path(os.path.normpath(Path(path).absolute())) for path in (name, self.root / layout.IMAGES))
        key = absolute.relative_to(images).as_posix() if absolute.is_relative_to(images) else os.path.normpath(name)
        is_known = key in self.keys if self.is_published else self.stored_neighbors(key) is not None
        if is_known:
            return Query(name, keys=(key,))
        if os.path.lexists(name):
            return Query(name, images=(Path(name),))
        from similarity.engine.gallery import unknown_name

        return Failure(name, UserError(f"{unknown_name('image', name, self.keys)}; and there is no such file"))

    def answer(
        self, queries: Sequence[Query | Failure], options: Options, progress: Callable[[list], Iterable] = iter
    ) -> list[Result | Failure]:
        """Answer queries in order; one that fails has a `Failure` in its place, and the others are answered.

        Args:
            queries: they may hold failures already, which stay; their regions must be the same.
            options: how to search.
            progress: wraps the list of images that are not indexed.
        """
        asked = [query for query in queries if isinstance(query, Query)]
        sources = [image for query in asked for image in query.images]
        region = next((query.region for query in asked if query.images), None)
        embedded = iter(self.embedder(progress(sources), region) if sources else ())
        answers: list[Result | Failure] = []
        for query in queries:
            if isinstance(query, Failure):
                answers.append(query)
                continue
            start = time.perf_counter()
            images = [next(embedded) for _ in query.images]
            seconds = time.perf_counter() - start if images else None
            try:
                answers.append(replace(self._answer(query, images, options), embed_seconds=seconds))
            except (UserError, ValueError) as error:
                answers.append(Failure(query.name, error))
        return answers

    def _answer(self, query: Query, found: Sequence[Embedded | UserError | ValueError], options: Options) -> Result:
        start = time.perf_counter()
        stored = self.stored_neighbors(query.key) if query.key and options.is_plain else None
        if stored is not None and len(stored) >= options.end:
            neighbors = self._matches(query, stored[options.offset : options.end])
            source = str(self.root / layout.INVERTED_INDEX)
            return Result(query, "exact", source, neighbors, seconds=time.perf_counter() - start)
        images = _without_errors(found)
        embedding, excluded = self.gallery.combine(query, [each.embedding for each in images])
        answer = self.gallery.search(embedding, options, excluded)
        seconds = time.perf_counter() - start
        sizes, source = [each.size for each in images], f"search of {len(self)} images"
        result = Result(query, answer.index, source, [], answer.matches, seconds, sizes=sizes)
        if not query.vectors and (query.region or not query.keys):
            distance = min(each.distance for each in images)
            result = replace(result, distance=distance, max_distance=self.novelty.limit)
        if not (result.similar or options.any or query.region):
            return replace(result, matches=0)
        pairs = zip([self.keys[row] for row in answer.rows], answer.cosines.tolist(), strict=True)
        neighbors = self._matches(query, [*pairs][options.offset :], options.look, is_new=not result.similar)
        return replace(result, neighbors=neighbors)

    def _matches(
        self, query: Query, pairs: Iterable[tuple[str, float]], look: float | None = None, is_new: bool = False
    ) -> list[Match]:
        matches = []
        for rank, (key, cosine) in enumerate(pairs, start=1):
            likeness = self.likeness(cosine, look, is_new)
            matches.append(Match(query.name, rank, key, key.split("/")[0], cosine, likeness, words(likeness)))
        return matches


def _without_errors(found: Sequence[Embedded | UserError | ValueError]) -> list[Embedded]:
    """Return what the images of a query give, or raise the first error, which names its image if there are several."""
    embedded = []
    for place, each in enumerate(found, start=1):
        if isinstance(each, Exception):
            raise type(each)(f"image {place} of {len(found)}, {each}") if len(found) > 1 else each
        embedded.append(each)
    return embedded


def images_below(folder: Path) -> list[Path]:
    """Return the paths of all images in a folder and below it, sorted by name; hidden ones are left out."""
    from similarity.data.images.decoding import IMAGE_SUFFIXES

    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(shown, key=str)
