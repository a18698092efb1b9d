"""Asking which indexed images look like some others: by their keys, their files, or their pixels.

What only an image that is not indexed needs is imported where it is used, so that a key is answered at once.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import islice
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from similarity.errors import UserError
from similarity.index.inverted_index import find_neighbors
from similarity.layout import ADDED, IMAGES, INVERTED_INDEX, MAP, SPLITS
from similarity.opening.matches import Failure, Matches, Picture, Query, Result
from similarity.opening.run_files import RunFiles

if TYPE_CHECKING:
    from PIL import Image

    from similarity.embedding.embedder import Embedder
    from similarity.images.protocols import ImageFile, ImageFolder
    from similarity.index.searcher import Answer, Index, Searcher
    from similarity.novelty.reference import Reference

ImageLike: TypeAlias = "str | os.PathLike[str] | Picture"
"""A key, the path of a file, or pixels."""
Progress: TypeAlias = Callable[[Iterable, int], Iterable]
"""Wraps an iteration over some images, whose number it gets, to show how far it is."""

_MAX_BATCH = 16  # images that the backbone runs on at once


@dataclass(frozen=True)
class Options:
    """How to search: how many images, of which class and split, in which index, for which look."""

    count: int
    label: str | None = None
    index: "Index | None" = None
    look: float | None = None
    split: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the neighbors that are stored for each image are what is asked for."""
        return self.label is self.split is self.look is None and self.index in {None, "exact"}


class Embedded(NamedTuple):
    """An embedding, float32 (E + K,), the distance to the nearest indexed image, and how far that may be."""

    embedding: np.ndarray
    distance: float
    max_distance: float


class ImageIndex:
    """The indexed images of a project. What is needed is loaded when it is first needed, and is of one run.

    Not to be shared by threads.

    Attributes:
        root: the folder of the project.
    """

    def __init__(self, root: Path, open_searcher: "Callable[[], Searcher] | None" = None) -> None:
        """Opens nothing yet; `open_index` makes sure that there is something to open.

        Args:
            root: the folder of the project.
            open_searcher: opens what is to be searched, if it is not in the project's files.
        """
        self.root, self._files, self._open_searcher = root, RunFiles(root), open_searcher
        self._embedder = lru_cache(self._open_embedder)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"<ImageIndex of {len(self):,} images in {len(self.searcher.manifest.classes):,} classes>"

    @property
    def keys(self) -> list[str]:
        """The key ``<class>/<name>`` of each image, sorted."""
        return self.searcher.manifest.keys

    @property
    def labels(self) -> list[str]:
        """The class of each image, in the order of the keys; ``unlabeled`` for one without."""
        return [record.label for record in self.searcher.manifest.records]

    @property
    def embeddings(self) -> np.ndarray:
        """The embedding of each image at length 1, float32 (N, E + K), in the order of the keys."""
        return self.searcher.vectors[np.arange(len(self))]

    @cached_property
    def positions(self) -> np.ndarray | None:
        """The place of each image on the map, float32 (N, 2), in the order of the keys, if there is a map."""
        return self._files.open_positions(MAP)

    @cached_property
    def searcher(self) -> "Searcher":
        """All embeddings, and the approximate index."""
        return (self._open_searcher or self._files.open_searcher)()

    def load(self) -> None:
        """Loads all but the model, so that nothing can be missing later.

        Raises:
            FileNotFoundError: a file is missing.
            UserError: one is damaged, or of another run.
        """
        for part in ("searcher", "positions", "_inverted_index", "_reference"):
            getattr(self, part)

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
        """Finds the indexed images most similar to one or several.

        Args:
            images: an image or a sequence of them: a key, the path of a file, pixels as uint8 (height, width, 3), RGB,
                or an image of Pillow. A text is a key if there is such an image, else a path.
            k: how many to find for each, itself left out if it is asked for by its key.
            label: the only class to find.
            split: the only split to find: ``train``, ``valid`` or ``test``.
            look: 0 finds images of the same kind, 1 those of the same look; None is what the embeddings are made for.
            index: ``exact``, or the approximate one by its backend's name, ``annoy`` or ``faiss``.
            any: whether to give the nearest images even if none is similar.

        Raises:
            UserError: an image cannot be read, there is no such class or index, or a number is not allowed.
        """
        if k < 1 or not 0 <= (look or 0) <= 1:
            raise UserError(f"k must be at least 1, and look from 0 to 1 or None; they are {k} and {look}")
        queries = [self._query(image, place) for place, image in enumerate(_listed(images), start=1)]
        answers = self.answer(queries, Options(k, label, index, look, split), any)
        if failures := [answer for answer in answers if isinstance(answer, Failure)]:
            raise UserError(failures[0].reason)
        return Matches([answer for answer in answers if isinstance(answer, Result)])

    def embed(self, images: "ImageLike | Sequence[ImageLike]") -> np.ndarray:
        """Embeds one or several images by the model, indexed or not; float32 (n, E + K).

        Raises:
            UserError: an image cannot be read.
        """
        queries = [self._query(image, place) for place, image in enumerate(_listed(images), start=1)]
        found = self._embed(queries)
        if reasons := [each for each in found if isinstance(each, str)]:
            raise UserError(reasons[0])
        return np.array([each.embedding for each in found if isinstance(each, Embedded)])

    def pixels(self, key: str) -> np.ndarray:
        """The pixels of an indexed image, RGB, uint8 (height, width, 3).

        Raises:
            FileNotFoundError: its file is gone.
            UserError: there is no such image, or its file has changed since.
        """
        from similarity.images.decoding import read_image_file

        record = self.searcher.manifest.records[self.searcher.row(key)]
        return read_image_file(self._images / record.path, record.sha256)

    def _pixels_of(self, query: Query, side: int) -> np.ndarray:
        source = query.source if query.key is None else self._images / query.key
        assert source is not None  # it has one of the two
        return _read(source, side, query.name)

    @cached_property
    def _images(self) -> "ImageFolder":
        return self._files.open_images()

    def key_of(self, name: str | os.PathLike[str]) -> str | None:
        """The key that is meant by a key or by a path below the images; None if no such image is indexed."""
        # Not resolved: DVC may have made the images links to its cache.
        absolute, *folders = (
            Path(os.path.normpath(Path(path).absolute())) for path in (name, self.root / ADDED, self.root / IMAGES)
        )
        below = (absolute.relative_to(folder).as_posix() for folder in folders if absolute.is_relative_to(folder))
        key = next(below, os.path.normpath(name))
        if self._open_searcher:
            return key if key in self.searcher else None
        return key if find_neighbors(self._inverted_index, key) is not None else None

    def draw(self, matches: Matches) -> "Image.Image":
        """Draws the queries, each with what was found for it, as a contact sheet.

        Raises:
            UserError: an image cannot be read any more.
        """
        from similarity.pictures.sheets import TILE_SIZE, Tile, draw_sheet, tile_of

        rows = []
        for query, neighbors in ((result.query, result.neighbors) for result in matches.results):
            label = query.key.split("/")[0] if query.key else None
            pixels, name = self._pixels_of(query, TILE_SIZE), Path(query.name).name
            first = tile_of(pixels, query.key, "query", None) if query.key else Tile(pixels, ("query", name), None)
            found = ((_read(self._images / key, TILE_SIZE), key, f"{cosine:.3f}") for key, cosine in neighbors)
            rows.append([first, *(tile_of(*each, label) for each in found)])
        return draw_sheet(rows)

    def answer(
        self,
        queries: Sequence[Query | Failure],
        options: Options,
        any: bool = False,  # noqa: A002  # as above
        progress: Progress = lambda images, _: images,
    ) -> list[Result | Failure]:
        """Answers all that can be answered, in the order of the queries; `progress` is of those that are not indexed.

        Raises:
            UserError: there is no such class or index, or no such look.
        """
        embedded = iter(self._embed([each for each in queries if isinstance(each, Query) and not each.key], progress))
        answers: list[Result | Failure] = []
        for query in queries:
            if isinstance(query, Failure):
                answers.append(query)
            elif query.key is not None:
                answers.append(self._answer_key(query, query.key, options))
            elif isinstance(found := next(embedded), str):
                answers.append(Failure(query.name, found))
            else:
                answers.append(self._answer_picture(query, found, options))
        return answers if any else [_without_foreign(answer) for answer in answers]

    def _query(self, image: "ImageLike", place: int) -> Query:
        if not isinstance(image, str | os.PathLike):
            return Query(f"image {place}", None, image)
        name = os.fspath(image)
        if key := self.key_of(name):
            return Query(name, key, None)
        if not os.path.lexists(name):
            raise self.unknown_image(name)
        return Query(name, None, Path(name))

    def unknown_image(self, name: str) -> UserError:
        """The error for what is neither a key nor a file, with the nearest keys."""
        from similarity.index.searcher import unknown_name

        return UserError(f"{unknown_name('image', name, self.keys)}; and there is no such file")

    @cached_property
    def _inverted_index(self) -> mmap:
        return self._files.open_inverted_index()

    @cached_property
    def _reference(self) -> "Reference":
        return self._files.open_reference()

    def _open_embedder(self, batch_size: int) -> "Embedder":
        return self._files.open_embedder(self.searcher, (batch_size,))

    def _answer_key(self, query: Query, key: str, options: Options) -> Result:
        """Answers from the inverted index where it holds enough, and by a search where it does not."""
        is_stored = options.is_plain and not self._open_searcher
        stored = find_neighbors(self._inverted_index, key) if is_stored else None
        if stored is not None and len(stored) >= options.count:
            return Result(query, "exact", str(self.root / INVERTED_INDEX), stored[: options.count])
        row = self.searcher.row(key)
        return self._as_result(query, self.searcher.similar_to_row(row, **self._arguments(options)))

    def _answer_picture(self, query: Query, embedded: Embedded, options: Options) -> Result:
        result = self._as_result(query, self.searcher.similar(embedded.embedding, **self._arguments(options)))
        return replace(result, distance=embedded.distance, max_distance=embedded.max_distance)

    def _arguments(self, options: Options) -> dict[str, Any]:
        """Those of a search; see `Searcher.similar`."""
        allowed = None if options.split is None else self._rows_of_split(options.split)
        return {
            "count": options.count,
            "label": options.label,
            "index": options.index,
            "look": options.look,
            "allowed": allowed,
        }

    def _rows_of_split(self, split: str) -> np.ndarray:
        """Which images are of a split, bool (N,)."""
        if self._splits is None:
            raise FileNotFoundError(errno.ENOENT, "missing", str(self.root / SPLITS))
        if split not in self._splits:
            raise UserError(f"split: {split!r} is none of {', '.join(self._splits)}")
        allowed = np.zeros(len(self), bool)
        allowed[self._splits[split]] = True
        return allowed

    @cached_property
    def _splits(self) -> dict[str, np.ndarray] | None:
        return self._files.open_splits()

    def _as_result(self, query: Query, found: "Answer") -> Result:
        neighbors = [(neighbor.key, neighbor.cosine) for neighbor in found.neighbors]
        return Result(query, found.index, f"search of {len(self)} images", neighbors)

    def _embed(self, queries: Sequence[Query], progress: Progress = lambda images, _: images) -> list[Embedded | str]:
        """Embeds images; of one that cannot be, it says why."""
        if not queries:
            return []
        from similarity.parallel import ordered_map

        embedder, reasons = self._embedder(1 if len(queries) == 1 else _MAX_BATCH), dict[int, str]()

        def readable() -> Iterator[np.ndarray]:
            loaded = ordered_map(partial(_load, pixels_of=self._pixels_of, size=embedder.extractor.image_size), queries)
            for place, pixels in enumerate(progress(loaded, len(queries))):
                if isinstance(pixels, str):
                    reasons[place] = pixels
                else:
                    yield pixels

        images, found = readable(), list[Embedded]()
        while block := list(islice(images, _MAX_BATCH)):
            with np.errstate(over="ignore", invalid="ignore"):  # told by `_checked`
                features = embedder.extractor(np.stack(block))
                measured = zip(embedder.model(features), self._reference.distances(features).tolist(), strict=True)
            found += [Embedded(*each, self._reference.max_distance) for each in measured]
        waiting = iter(found)
        return [reasons.get(place) or _checked(next(waiting), query) for place, query in enumerate(queries)]


def open_index(root: str | os.PathLike[str] = ".") -> ImageIndex:
    """Opens the index of a project, and makes sure that its files are of one run.

    It is that run which is asked from then on: what a later one puts in the place of a file is refused, until
    `open_index` is called again.

    Args:
        root: the folder of the project, with ``data/`` and ``models/`` in it.

    Raises:
        UserError: there is no index, or it is damaged, or its files are of different runs.
    """
    index = ImageIndex(Path(root))
    try:
        index.load()
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} is missing: give `open_index` the folder of a project, and run `dvc repro` or "
            "`dvc pull` there"
        ) from error
    return index


def _listed(images: "ImageLike | Sequence[ImageLike]") -> Sequence["ImageLike"]:
    is_array_of_images = isinstance(images, np.ndarray) and images.ndim == 4
    return list(images) if isinstance(images, list | tuple) or is_array_of_images else [images]  # type: ignore[arg-type, list-item]


def _load(query: Query, pixels_of: Callable[[Query, int], np.ndarray], size: int) -> np.ndarray | str:
    """The pixels of an image as the backbone wants them, or why it cannot be read."""
    from similarity.images.resizing import resize

    try:
        return resize(pixels_of(query, size), size)
    except OSError as error:
        return f"{query.name}: {error.strerror or error}"
    except UserError as error:
        return str(error)


def _read(source: "ImageFile | Picture", side: int, name: str = "") -> np.ndarray:
    """The pixels of an image, uint8 (height, width, 3); a file's may be fewer, if they suffice for a square."""
    from PIL import Image

    from similarity.images.decoding import UnreadableImageError, read_image_file, upright_pixels

    if isinstance(source, Image.Image):
        try:
            return upright_pixels(source)
        except UnreadableImageError as error:
            raise UserError(f"{name}: {error}") from error
    if not isinstance(source, np.ndarray):
        return read_image_file(source, side=side)
    if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
        raise UserError(
            f"{name}: pixels must be uint8 (height, width, 3), RGB, and these are {source.dtype} {source.shape}"
        )
    return source


def _checked(embedded: Embedded, query: Query) -> Embedded | str:
    """What was found for an image, or what is wrong with it."""
    is_finite = np.isfinite([embedded.distance, *embedded.embedding]).all()
    return embedded if is_finite else f"{query.name}: the backbone gives numbers for it that are not finite"


def _without_foreign(answer: Result | Failure) -> Result | Failure:
    """Takes the neighbors away that are only the nearest, not similar."""
    return replace(answer, neighbors=[]) if isinstance(answer, Result) and not answer.similar else answer
