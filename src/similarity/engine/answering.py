"""The engine that answers which images look alike: `query.py`, the service and `open_index` all ask it.

What only an image that is not indexed needs is imported where it is used, so that a key is answered at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from similarity.engine.project import Project
from similarity.engine.results import Failure, Neighbor, Options, Prepared, Query, Result
from similarity.errors import UserError
from similarity.layout import INVERTED_INDEX

if TYPE_CHECKING:
    from similarity.engine.embedding import Embedded

Progress: TypeAlias = Callable[[Iterable, int], Iterable]
"""Wraps the iteration over some images, given their number, to show how far it is."""


class Engine(Project):
    """Answers queries with the files of a project. Threads may share it."""

    def resolve(self, name: str) -> Query | Failure:
        """Return the query that a key or the path of a file stands for; a key comes first."""
        if key := self.key_of(name):
            return Query(name, keys=(key,))
        if os.path.lexists(name):
            return Query(name, images=(Path(name),))
        from similarity.engine.gallery import unknown_name

        return Failure(name, UserError(f"{unknown_name('image', name, self.keys)}; and there is no such file"))

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
        embedded = self.embedder(progress(sources, len(sources)), regions.pop()) if sources else iter(())
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

    def find(self, prepared: Prepared, options: Options) -> Result:
        """Search for the images most similar to a query; see `answer`."""
        query, embedding, excluded, _, distance, _ = prepared
        if embedding is None:
            start = time.perf_counter()
            stored = self.stored_neighbors(query.keys[0]) if options.is_plain else None
            if stored is not None and len(stored) >= options.end:
                neighbors = [Neighbor(*each, self.likeness(each[1])) for each in stored[options.offset : options.end]]
                seconds = time.perf_counter() - start
                return Result(query, "exact", str(self.root / INVERTED_INDEX), neighbors, None, seconds)
            excluded = [self.gallery.row(query.keys[0])]
            embedding = self.gallery.vectors[excluded[0]]
        found, limit = self.gallery.search(embedding, options, excluded), None
        if distance is not None:
            limit = self.novelty.limit
        source = f"search of {len(self)} images"
        result = Result(query, found.index, source, [], found.matches, found.seconds, distance, limit)
        if not (result.similar or options.any or query.region):
            return replace(result, matches=0)
        pairs = zip(found.rows[options.offset :].tolist(), found.cosines[options.offset :].tolist(), strict=True)
        neighbors = [
            Neighbor(self.keys[row], cosine, self.likeness(cosine, options.look, is_new=not result.similar))
            for row, cosine in pairs
        ]
        return replace(result, neighbors=neighbors)

    def _prepare(
        self, query: Query, found: Sequence[Embedded | UserError | ValueError], seconds: float | None
    ) -> Prepared:
        if query.key is not None:
            if not self.has(query.key):
                self.gallery.row(query.key)  # raises
            return Prepared(query)
        import numpy as np

        vectors = self.gallery.vectors
        if any(each.shape != (vectors.parts.size,) or not np.isfinite(each).all() for each in query.vectors):
            raise UserError(f"an embedding is {vectors.parts.size} finite numbers")
        embedded = []
        for place, each in enumerate(found, start=1):
            if isinstance(each, Exception):
                raise type(each)(f"image {place} of {len(found)}, {each}") if len(found) > 1 else each
            embedded.append(each)
        rows, like, unlike = (
            [self.gallery.row(key) for key in keys] for keys in (query.keys, query.like, query.unlike)
        )
        known = [] if query.region else rows
        asked = np.stack([*(each.embedding for each in embedded), *query.vectors, *vectors[known]]).astype(np.float32)
        embedding = vectors.parts.combine(asked, vectors[like], vectors[unlike])
        distance = None if known or query.vectors else min(each.distance for each in embedded)
        return Prepared(query, embedding, [*rows, *like, *unlike], embedded, distance, seconds)


def images_below(folder: Path) -> list[Path]:
    """Return the paths of all images in a folder and below it, sorted by name; hidden ones are left out."""
    from similarity.data.images.formats import IMAGE_SUFFIXES

    def is_shown(path: Path) -> bool:
        return not any(part.startswith(".") for part in path.relative_to(folder).parts)

    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and is_shown(path))
    return sorted(found, key=str)
