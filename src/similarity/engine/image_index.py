"""The index of a project for programs: `from similarity import open_index`."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from similarity.data.images.query_images import parse_region
from similarity.engine.engine import Engine
from similarity.engine.results import Failure, Index, Matches, Names, Options, Picture, Query, Source
from similarity.errors import UserError

ImageLike: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | Picture"
"""A key, the path or the content of a file, an open file, pixels, or an embedding."""


class ImageIndex(Engine):
    """The indexed images of a project. Threads may share it. What is needed is loaded on first use, all of one run."""

    def __reduce__(self) -> tuple[type, tuple]:  # a copy in another process opens the files when it needs them
        return ImageIndex, (self.root, self.is_published, self.batch_sizes, self.max_pixels)

    def __repr__(self) -> str:
        return f"<ImageIndex of {len(self):,} images in {len(self.gallery.manifest.classes):,} classes>"

    @property
    def labels(self) -> list[str]:
        """The class of each image, in the order of the keys; ``unlabeled`` for one without."""
        return [record.label for record in self.gallery.manifest.records]

    @property
    def embeddings(self) -> np.ndarray:
        """The embedding of each image at length 1, float32 (N, E), in the order of the keys."""
        return self.gallery.vectors[range(len(self))]

    @property
    def positions(self) -> np.ndarray | None:
        """The place of each image on the map, float32 (N, 2), in the order of the keys, if there is a map."""
        return self.map.get("all")

    def search(
        self,
        images: "ImageLike | Iterable[ImageLike]",
        k: int = 10,
        *,
        label: Names = None,
        not_label: Names = None,
        split: str | None = None,
        finding: str | None = None,
        look: float | None = None,
        like: Sequence[str] = (),
        unlike: Sequence[str] = (),
        region: Sequence[float] | None = None,
        index: Index | None = None,
        any: bool = False,  # noqa: A002  # as in query.py and in the REST API
    ) -> Matches:
        """Find the indexed images most similar to one or several.

        If only some cannot be answered, these are in `Matches.failures`, with a warning.

        Args:
            images: an image or several: a key, the path of a file, the content of one as bytes or an open file, pixels
                as uint8 (height, width, 3), RGB, an image of Pillow, or an embedding, float (E,). A string is a key if
                there is such an image, otherwise a path.
            k: how many to find for each; an image that is given by its key is left out.
            label, not_label: the classes to find, or not to find, one or several.
            split: the only split to find: ``train``, ``valid`` or ``test``.
            finding: find only images with a kind of finding, with ``any`` or with ``none``.
            look: 0 finds images of the same kind, 1 those of the same look; None weighs both as the embeddings do.
            like, unlike: keys of images to move each query towards, or away from.
            region: the part of each image to search with: x, y, width, height as shares of the upright image.
            index: ``exact`` or ``annoy``.
            any: return the nearest images even if none is similar.

        Raises:
            UserError: no image can be answered, there is no such class or index, or a number is not allowed.
        """
        options = Options(k, label, index, look, split, finding, any, not_label=not_label)
        part = parse_region(",".join(map(str, region))) if region else None
        queries = self._queries(images)
        for place, query in enumerate(queries):
            if isinstance(query, Query):
                files = query.images or [self.images / key for key in query.keys if part]
                queries[place] = replace(query, images=files, like=like, unlike=unlike, region=part)
        found = Matches(self.answer(queries, options), self.images)
        if found.failures and not found.results:
            raise UserError(found.failures[0].reason)
        if found.failures:
            failed = f"{len(found.failures)} of {len(queries)} images failed"
            warnings.warn(f"{failed}: {found.failures[0].reason}", stacklevel=2)
        return found

    def embed(self, images: "ImageLike | Iterable[ImageLike]") -> np.ndarray:
        """Embed one or several images, indexed or not: float32 (n, E). One that cannot be read raises a `UserError`."""
        sources: list[Source] = []
        for query in (queries := self._queries(images)):
            if isinstance(query, Failure) or query.vectors:
                raise UserError(query.reason if isinstance(query, Failure) else f"{query.name} is an embedding already")
            sources += query.images or [self.images / key for key in query.keys]
        embeddings = []
        for query, each in zip(queries, self.embedder(sources), strict=True):
            if isinstance(each, Exception):
                raise UserError(Failure(query.name, each).reason) from each
            embeddings.append(each.embedding)
        return np.array(embeddings)

    def pixels(self, key: str) -> np.ndarray:
        """Return the pixels of an indexed image, RGB, uint8 (height, width, 3).

        A key that is not indexed, or a file that has changed since, raises a `UserError`.
        """
        from similarity.data.images.decoding import read_image_file

        record = self.gallery.manifest.records[self.gallery.row(key)]
        return read_image_file(self.images / record.path, record.sha256, ranges=self.ranges)

    def _queries(self, images: "ImageLike | Iterable[ImageLike]") -> list[Query | Failure]:
        """Return the query that each image stands for."""
        if isinstance(images, np.ndarray):
            is_several = images.ndim == 4 or (images.ndim == 2 and images.dtype.kind == "f")
        else:
            is_one = isinstance(images, str | bytes | os.PathLike | Mapping) or hasattr(images, "read")
            is_several = isinstance(images, Iterable) and not is_one
        queries = list[Query | Failure]()
        for place, image in enumerate(images if is_several else [images], start=1):  # type: ignore[arg-type]
            if isinstance(image, str | os.PathLike):
                queries.append(self.resolve(os.fspath(image)))
            elif isinstance(image, np.ndarray) and image.ndim == 1 and image.dtype.kind in "fiu":
                queries.append(Query(f"image {place}", vectors=(image,)))
            else:  # what is no image either is refused when it is decoded
                queries.append(Query(f"image {place}", images=(image.read() if hasattr(image, "read") else image,)))  # type: ignore[arg-type]
        return queries


def open_index(root: str | os.PathLike[str] = ".") -> ImageIndex:
    """Open the index in a project's folder; raise a `UserError` if files are missing or do not belong together.

    The index stays with that run: files that a later run replaces are refused until `open_index` is called again.
    Threads may share it.
    """
    index = ImageIndex(Path(root).absolute())
    try:
        index.load()
    except FileNotFoundError as error:
        advice = "give `open_index` the folder of a project, and run `dvc checkout` there, or `dvc repro`"
        raise UserError(f"{error.filename} is missing: {advice}") from error
    return index
