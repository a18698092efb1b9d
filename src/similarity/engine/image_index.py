"""Asking a project's index from Python: `from similarity import open_index`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from similarity.engine.engine import Engine
from similarity.engine.results import Failure, Matches, Options, Picture, Query, Result
from similarity.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from similarity.index.stores import Index

ImageLike: TypeAlias = "str | os.PathLike[str] | Picture"
"""A key, the path of a file, or pixels."""


class ImageIndex(Engine):
    """The indexed images of a project. Threads may share it. What is needed is loaded on first use, all from one run.

    Attributes:
        root: the folder of the project.
    """

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
        answers = self.answer(self._queries(images), Options(k, label, index, look, split, any=any))
        if failures := [answer for answer in answers if isinstance(answer, Failure)]:
            raise UserError(failures[0].reason)
        return Matches([answer for answer in answers if isinstance(answer, Result)])

    def embed(self, images: "ImageLike | Sequence[ImageLike]") -> np.ndarray:
        """Embed one or several images with the model, indexed or not; float32 (n, E).

        Raises:
            UserError: an image cannot be read.
        """
        queries = self._queries(images)
        sources = (query.images[0] if query.images else self.images / query.keys[0] for query in queries)
        found = list(self.embedder()(sources))
        if failed := [(query, each) for query, each in zip(queries, found, strict=True) if isinstance(each, Exception)]:
            query, error = failed[0]
            raise UserError(f"{query.name}: {error}") from error
        return np.array([each.embedding for each in found if not isinstance(each, Exception)])

    def pixels(self, key: str) -> np.ndarray:
        """Return the pixels of an indexed image, RGB, uint8 (height, width, 3).

        Raises:
            FileNotFoundError: its file is missing.
            UserError: there is no such image, or its file has changed since it was indexed.
        """
        from similarity.images.decoding import read_image_file

        record = self.gallery.manifest.records[self.gallery.row(key)]
        return read_image_file(self.images / record.path, record.sha256)

    def draw(self, matches: Matches) -> "Image.Image":
        """Draw the queries, each with the images found for it, as a contact sheet.

        Raises:
            UserError: an image can no longer be read.
        """
        from similarity.engine.drawing import draw_matches

        return draw_matches(matches, self.images)

    def _queries(self, images: "ImageLike | Sequence[ImageLike]") -> list[Query]:
        is_several = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
        listed = list(images) if is_several else [images]  # type: ignore[arg-type]
        return [self._query(image, place) for place, image in enumerate(listed, start=1)]  # type: ignore[arg-type]

    def _query(self, image: "ImageLike", place: int) -> Query:
        if not isinstance(image, str | os.PathLike):
            return Query(f"image {place}", images=(image,))
        name = os.fspath(image)
        if key := self.key_of(name):
            return Query(name, keys=(key,))
        if not os.path.lexists(name):
            raise self.unknown_image(name)
        return Query(name, images=(Path(name),))


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
