"""The index that answers which images look alike: `query.py`, the service and `open_index` all ask it.

What only an image that is not indexed needs is imported where it is used, so that a key is answered at once.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from similarity.engine.project import Project
from similarity.engine.results import Failure, Matches, Options, Picture, Prepared, Query, Result, Source, draw_matches
from similarity.errors import UserError
from similarity.layout import INVERTED_INDEX

if TYPE_CHECKING:
    from PIL import Image

    from similarity.engine.embedding import Embedded
    from similarity.engine.stores import Index

ImageLike: TypeAlias = "str | os.PathLike[str] | Picture"
"""A key, the path of a file, or pixels."""
Progress: TypeAlias = Callable[[Iterable, int], Iterable]
"""Wraps the iteration over some images, given their number, to show how far it is."""


class ImageIndex(Project):
    """The indexed images of a project. Threads may share it. What is needed is loaded on first use, all of one run."""

    def __repr__(self) -> str:
        return f"<ImageIndex of {len(self):,} images in {len(self.gallery.manifest.classes):,} classes>"

    @property
    def labels(self) -> list[str]:
        """The class of each image, in the order of the keys; ``unlabeled`` for one without."""
        return [record.label for record in self.gallery.manifest.records]

    @property
    def embeddings(self) -> np.ndarray:
        """The embedding of each image at length 1, float32 (N, E), in the order of the keys."""
        return self.gallery.vectors[np.arange(len(self))]

    @property
    def positions(self) -> np.ndarray | None:
        """The place of each image on the map, float32 (N, 2), in the order of the keys, if there is a map."""
        return self.map.get("all")

    def search(
        self,
        images: "ImageLike | Sequence[ImageLike]",
        k: int = 10,
        *,
        label: str | None = None,
        split: str | None = None,
        look: float | None = None,
        index: "Index | None" = None,
        any: bool = False,  # noqa: A002  # as in query.py and in the REST API
    ) -> Matches:
        """Find the indexed images most similar to one or several.

        Args:
            images: an image or a sequence of them: a key, the path of a file, pixels as uint8 (height, width, 3), RGB,
                or an image of Pillow. A string is a key if there is such an image, otherwise a path.
            k: how many to find for each; an image that is given by its key is left out.
            label: the only class to find.
            split: the only split to find: ``train``, ``valid`` or ``test``.
            look: 0 finds images of the same kind, 1 those of the same look; None weighs both as the embeddings do.
            index: ``exact`` or ``annoy``.
            any: return the nearest images even if none is similar.

        Raises:
            UserError: an image cannot be read, there is no such class or index, or a number is not allowed.
        """
        if not isinstance(k, int) or k < 1 or not (look is None or 0 <= look <= 1):
            raise UserError(f"k must be at least 1, and look from 0 to 1 or None; they are {k} and {look}")
        results = []
        for answer in self.answer(self._queries(images), Options(k, label, index, look, split, any=any)):
            if isinstance(answer, Failure):
                raise UserError(answer.reason)
            results.append(answer)
        return Matches(results)

    def embed(self, images: "ImageLike | Sequence[ImageLike]") -> np.ndarray:
        """Embed one or several images with the model, indexed or not; float32 (n, E).

        Raises:
            UserError: an image cannot be read.
        """
        sources: list[Source] = []
        for query in (queries := self._queries(images)):
            if isinstance(query, Failure):
                raise UserError(query.reason)
            sources += query.images or [self.images / key for key in query.keys]
        found = list(self.embedder(sources))
        for query, each in zip(queries, found, strict=True):
            if isinstance(each, Exception):
                raise UserError(f"{query.name}: {each}") from each
        return np.array([each.embedding for each in found if not isinstance(each, Exception)])

    def pixels(self, key: str) -> np.ndarray:
        """Return the pixels of an indexed image, RGB, uint8 (height, width, 3).

        Raises:
            FileNotFoundError: its file is missing.
            UserError: there is no such image, or its file has changed since it was indexed.
        """
        from similarity.data.images.decoding import read_image_file

        record = self.gallery.manifest.records[self.gallery.row(key)]
        return read_image_file(self.images / record.path, record.sha256, ranges=self.ranges)

    def draw(self, matches: Matches) -> "Image.Image":
        """Draw a contact sheet with a row for each query: its first image, then the images found for it.

        Raises:
            UserError: an image can no longer be read.
        """
        return draw_matches(matches, self.images)

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
                neighbors, seconds = stored[options.offset : options.end], time.perf_counter() - start
                return Result(query, "exact", str(self.root / INVERTED_INDEX), neighbors, None, seconds)
            excluded = [self.gallery.row(query.keys[0])]
            embedding = self.gallery.vectors[excluded[0]]
        found, keys, limit = self.gallery.search(embedding, options, excluded), self.keys, None
        neighbors = [(keys[row], cosine) for row, cosine in zip(found.rows, found.cosines.tolist(), strict=True)]
        if distance is not None:
            limit = self.novelty.limit
        source, shown = f"search of {len(self)} images", neighbors[options.offset :]
        result = Result(query, found.index, source, shown, found.matches, found.seconds, distance, limit)
        return result if result.similar or options.any else replace(result, neighbors=[], matches=0)

    def _queries(self, images: "ImageLike | Sequence[ImageLike]") -> list[Query | Failure]:
        is_several = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
        listed: Sequence[ImageLike] = list(images) if is_several else [images]  # type: ignore[arg-type, list-item]
        return [
            self.resolve(os.fspath(each))
            if isinstance(each, str | os.PathLike)
            else Query(f"image {place}", images=(each,))
            for place, each in enumerate(listed, start=1)
        ]

    def _prepare(
        self, query: Query, found: "Sequence[Embedded | UserError | ValueError]", seconds: float | None
    ) -> Prepared:
        if query.key is not None:
            if not self.has(query.key):
                self.gallery.row(query.key)  # raises
            return Prepared(query)
        embedded = []
        for place, each in enumerate(found, start=1):
            if isinstance(each, Exception):
                raise type(each)(f"image {place} of {len(found)}, {each}") if len(found) > 1 else each
            embedded.append(each)
        vectors = self.gallery.vectors
        rows, like, unlike = (
            [self.gallery.row(key) for key in keys] for keys in (query.keys, query.like, query.unlike)
        )
        known = [] if query.region else rows
        asked = np.stack([*(each.embedding for each in embedded), *vectors[known]])
        embedding = vectors.parts.combine(asked, vectors[like], vectors[unlike])
        distance = None if known else min(each.distance for each in embedded)
        return Prepared(query, embedding, [*rows, *like, *unlike], embedded, distance, seconds)


def open_index(root: str | os.PathLike[str] = ".") -> ImageIndex:
    """Open the index of a project, and check that its files belong together.

    The index stays with that run: files that a later run replaces are refused until `open_index` is called again.
    Threads may share it.

    Args:
        root: the folder of the project, with ``dvc.lock``, ``data/`` and ``models/`` in it.

    Raises:
        UserError: there is no index, it is damaged, or its files do not belong together.
    """
    index = ImageIndex(Path(root))
    try:
        index.load()
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} is missing: give `open_index` the folder of a project, and run `dvc checkout` there, or "
            "`dvc repro`"
        ) from error
    return index
