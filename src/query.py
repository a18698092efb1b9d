"""Shows the images most similar to some: `python src/query.py marble/marble_0042.jpg`, `python src/query.py photo.jpg`.

An image is a key of the data set, or any image file; of a folder, all images below it are asked for. What cannot be
answered is told in its place, and the exit status is 1. What only a file needs is imported where it is used, so that a
key is answered at once.
"""

from pipeline.paths import ADDED, IMAGES, INVERTED_INDEX, SPLITS
from pipeline.sealing import check_run
from pipeline.stage import run_command, track

import argparse
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from similarity.errors import UserError
from similarity.index.inverted_index import find_neighbors, map_inverted_index

if TYPE_CHECKING:
    from similarity.index.searcher import Answer, Index, Searcher

MAX_BATCH = 64  # images that are embedded at a time


class Query(NamedTuple):
    """An image as it was asked for: its key if it is indexed, else None, and its file."""

    name: str
    key: str | None
    path: Path


@dataclass(frozen=True)
class Result:
    """What was found for a query, as (key, cosine) pairs, best first, and with which index.

    `distance` is that of a file that is not indexed to the nearest indexed image, `max_distance` how far that may be.
    """

    query: Query
    index: str
    source: str
    neighbors: list[tuple[str, float]]
    distance: float = 0
    max_distance: float = 0

    @property
    def similar(self) -> bool:
        """Whether anything indexed is similar to the query; with a class or without, shown or not."""
        return self.distance <= self.max_distance


@dataclass(frozen=True)
class Failure:
    """What was asked for and cannot be answered, and the line that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Options:
    """How to search: how many images, of which class, in which index, for which look, and of which split."""

    count: int
    label: str | None
    index: "Index | None"
    look: float | None
    split: str | None = None

    @property
    def is_published(self) -> bool:
        """Whether to search what is published instead of the files here."""
        return self.index == "lancedb"

    @property
    def is_plain(self) -> bool:
        """Whether the neighbors that are stored for each image are what is asked for."""
        return self.label is self.split is self.look is None and self.index in {None, "exact"}

    def for_searcher(self) -> dict[str, Any]:
        """The arguments of a search."""
        allowed = None if self.split is None else rows_of_split(self.split, self.is_published)
        return {"count": self.count, "label": self.label, "index": self.index, "look": self.look, "allowed": allowed}


class Embedded(NamedTuple):
    """An embedding, float32 (E + K,), the distance to the nearest indexed image, and how far that may be."""

    embedding: np.ndarray
    distance: float
    max_distance: float


def main() -> None:
    arguments = parse_arguments()
    if arguments.save:
        check_picture_name(arguments.save)
    options = Options(arguments.k, arguments.label, arguments.index, arguments.look, arguments.split)
    queries = [query for name in arguments.images for query in resolve(name, options.is_published)]
    results = answer(queries, options)
    if not arguments.any:
        results = [without_foreign(result) for result in results]
    answered = [result for result in results if isinstance(result, Result)]
    if arguments.save and answered:
        save_sheet(answered, arguments.save)
    if arguments.json:
        sys.stdout.buffer.write(as_json(results))
    elif answered or len(results) > 1:
        print("\n\n".join(as_text(result) for result in results))
        if arguments.save and answered:
            print(f"\nThe pictures are in {arguments.save}")
    sys.stdout.flush()
    if failures := [result for result in results if isinstance(result, Failure)]:
        count = len(results)
        raise UserError(failures[0].reason if count == 1 else f"{len(failures)} of {count} images cannot be answered")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="query.py", description="Shows the indexed images that are most similar to each of the given ones."
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a key <class>/<name>, an image file, or a folder of these"
    )
    parser.add_argument("-k", type=positive, default=10, help="how many to show for each (default: 10)")
    parser.add_argument(
        "--index",
        choices=("exact", "annoy", "faiss", "lancedb"),
        help="which index to search; lancedb is what publish.py has written to SIMILARITY_URI (default: exact; above "
        "a million images, that of ann.backend)",
    )
    parser.add_argument("--label", metavar="CLASS", help="show images of this class only")
    parser.add_argument("--split", choices=("train", "valid", "test"), help="show images of this split only")
    parser.add_argument(
        "--look",
        type=share,
        metavar="0…1",
        help="0 finds images of the same kind, 1 those of the same look (default: embedding.visual_weight)",
    )
    parser.add_argument("--any", action="store_true", help="show the nearest images even if none is similar")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--save", metavar="OUT.png", type=Path, help="draw queries and answers as a contact sheet")
    return parser.parse_args()


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number of at least 1 is needed")
    return int(text)


def share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 0 to 1 is needed")
    return number


def resolve(name: str, is_published: bool = False) -> list[Query | Failure]:
    """Tells whether a key, a file or a folder is meant; a name that is both is the key."""
    path = Path(name)
    # Not resolved: DVC may have made the images links to its cache.
    absolute, folders = Path(os.path.normpath(path.absolute())), (ADDED.absolute(), IMAGES.absolute())
    below = (absolute.relative_to(folder).as_posix() for folder in folders if absolute.is_relative_to(folder))
    key = next(below, os.path.normpath(name))
    if is_indexed(key, is_published):
        return [Query(name, key, IMAGES / key)]
    try:
        if path.is_dir():
            return [query for file in images_below(path) for query in resolve(file, is_published)] or [
                Failure(name, f"{name}: there are no images in this folder, nor below it")
            ]
        if path.exists():
            return [Query(name, None, path)]
    except OSError as error:
        return [Failure(name, reason_of(error, name))]
    from similarity.index.searcher import unknown_name

    reason = f"{unknown_name('image', name, searcher(is_published).manifest.keys)}; and there is no such file"
    return [Failure(name, reason)]


def is_indexed(key: str, is_published: bool) -> bool:
    return key in searcher(True) if is_published else find_neighbors(inverted_index(), key) is not None


def images_below(folder: Path) -> list[str]:
    """The paths of all images in a folder and below it by their names, sorted; hidden ones are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    from similarity.images.decoding import IMAGE_SUFFIXES

    def fail(error: OSError) -> None:
        raise error

    found = []
    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [str(Path(root, name)) for name in files if not name.startswith(".")]
    return sorted(path for path in found if Path(path).suffix.lower() in IMAGE_SUFFIXES)


def reason_of(error: Exception, name: str | Path) -> str:
    return f"{name}: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def answer(queries: Sequence[Query | Failure], options: Options) -> list[Result | Failure]:
    """Answers all that can be answered, in the order of the queries."""
    asked = [query for query in queries if isinstance(query, Query)]
    embedded = iter(embed([query.path for query in asked if query.key is None], options.is_published))
    results: list[Result | Failure] = []
    for query in queries:
        if isinstance(query, Failure):
            results.append(query)
        elif query.key is not None:
            results.append(answer_key(query, query.key, options))
        else:
            found = next(embedded)
            results.append(Failure(query.name, found) if isinstance(found, str) else answer_file(query, found, options))
    return results


def answer_key(query: Query, key: str, options: Options) -> Result:
    """Answers from the inverted index where it holds enough, and by a search where it does not."""
    stored = find_neighbors(inverted_index(), key) if options.is_plain else None
    if stored is not None and len(stored) >= options.count:
        return Result(query, "exact", str(INVERTED_INDEX), stored[: options.count])
    images = searcher(options.is_published)
    return as_result(query, images, images.similar_to_row(images.row(key), **options.for_searcher()))


def answer_file(query: Query, embedded: Embedded, options: Options) -> Result:
    images = searcher(options.is_published)
    result = as_result(query, images, images.similar(embedded.embedding, **options.for_searcher()))
    return replace(result, distance=embedded.distance, max_distance=embedded.max_distance)


def as_result(query: Query, images: "Searcher", found: "Answer") -> Result:
    neighbors = [(neighbor.key, neighbor.cosine) for neighbor in found.neighbors]
    return Result(query, found.index, f"search of {len(images.vectors)} images", neighbors)


def without_foreign(result: Result | Failure) -> Result | Failure:
    """Takes the neighbors away that are only the nearest, not similar."""
    return replace(result, neighbors=[]) if isinstance(result, Result) and not result.similar else result


@cache
def inverted_index() -> mmap:
    check_run(INVERTED_INDEX)
    return map_inverted_index(INVERTED_INDEX)


@cache
def searcher(is_published: bool) -> "Searcher":
    if is_published:
        from pipeline.publishing import open_published_searcher

        return open_published_searcher()
    from pipeline.results import open_searcher

    return open_searcher()


@cache
def rows_of_split(split: str, is_published: bool) -> np.ndarray:
    """Which images are of a split, bool (N,)."""
    from pipeline.results import open_splits

    manifest = searcher(is_published).manifest
    splits, allowed = open_splits(), np.zeros(len(manifest.records), bool)
    if splits is None:
        raise FileNotFoundError(errno.ENOENT, "missing", str(SPLITS))
    allowed[splits[split]] = True
    return allowed


def embed(paths: Sequence[Path], is_published: bool) -> list[Embedded | str]:
    """Embeds image files; of a file that cannot be, it says why."""
    if not paths:
        return []
    from pipeline.results import open_embedder, open_reference

    from similarity.parallel import ordered_map

    embedder, reasons = open_embedder(searcher(is_published), (min(len(paths), MAX_BATCH),)), dict[int, str]()

    def readable() -> Iterator[np.ndarray]:
        loaded = ordered_map(partial(load, size=embedder.extractor.image_size), paths)
        for place, pixels in enumerate(track(loaded, "embed", len(paths))):
            if isinstance(pixels, str):
                reasons[place] = pixels
            else:
                yield pixels

    images, reference = readable(), open_reference()
    found: list[Embedded] = []
    while block := list(islice(images, MAX_BATCH)):
        with np.errstate(over="ignore", invalid="ignore"):  # told by `checked`
            features = embedder.extractor(np.stack(block))
            measured = zip(embedder.model(features), reference.distances(features).tolist(), strict=True)
        found += [Embedded(*each, reference.max_distance) for each in measured]
    waiting = iter(found)
    return [reasons.get(place) or checked(next(waiting), path) for place, path in enumerate(paths)]


def checked(embedded: Embedded, path: Path) -> Embedded | str:
    """What was found for a file, or what is wrong with it."""
    is_finite = np.isfinite([embedded.distance, *embedded.embedding]).all()
    return embedded if is_finite else f"{path}: the backbone gives numbers for it that are not finite"


def load(path: Path, size: int) -> np.ndarray | str:
    """The pixels of an image file as the backbone wants them, or why it cannot be read."""
    from similarity.features.computing import load_pixels

    try:
        return load_pixels(path, size)
    except (OSError, UserError) as error:
        return reason_of(error, path)


def class_of(key: str) -> str:
    return key.split("/")[0]


def printable(name: str) -> str:
    """The name of a file, which may hold bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_text(result: Result | Failure) -> str:
    if isinstance(result, Failure):
        return f"error: {printable(result.reason)}"
    state = "indexed" if result.query.key else "not indexed"
    lines = [f"{printable(result.query.name)} ({state}; {result.index}, {result.source})"]
    lines += [f"{n:4}  {cosine:.4f}  {key}" for n, (key, cosine) in enumerate(result.neighbors, start=1)]
    if not result.similar:
        shown = "these are only the nearest" if result.neighbors else "--any shows the nearest"
        lines.append(
            f"      nothing similar is indexed: the nearest image is at a distance of {result.distance:.4f}, "
            f"up to {result.max_distance:.4f} is similar ({shown})"
        )
    return "\n".join(lines)


def as_entry(result: Result | Failure) -> dict[str, object]:
    if isinstance(result, Failure):
        return {"query": printable(result.name), "error": printable(result.reason)}
    return {
        "query": printable(result.query.name),
        "key": result.query.key,
        "index": result.index,
        "source": result.source,
        "similar": result.similar,
        "distance": None if result.query.key else result.distance,
        "max_distance": None if result.query.key else result.max_distance,
        "neighbors": [{"key": key, "label": class_of(key), "cosine": cosine} for key, cosine in result.neighbors],
    }


def as_json(results: Sequence[Result | Failure]) -> bytes:
    queries = [as_entry(result) for result in results]
    return orjson.dumps({"queries": queries}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def check_picture_name(path: Path) -> None:
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in {"PNG", "JPEG", "WEBP"}:
        raise UserError(f"--save {path}: the name must end in .png, .jpg or .webp")


def save_sheet(results: Sequence[Result], path: Path) -> None:
    from pipeline.indexed_images import indexed_images

    from similarity.files import replaced_file
    from similarity.images.decoding import read_image_file
    from similarity.pictures.sheets import TILE_SIZE, Tile, draw_sheet, tile_of

    rows, images = [], indexed_images()
    for query, neighbors in ((result.query, result.neighbors) for result in results):
        label = class_of(query.key) if query.key else None
        pixels = read_image_file(images / query.key if query.key else query.path, side=TILE_SIZE)
        first = (
            tile_of(pixels, query.key, "query", None) if query.key else Tile(pixels, ("query", query.path.name), None)
        )
        found = ((read_image_file(images / key, side=TILE_SIZE), key, f"{cosine:.3f}") for key, cosine in neighbors)
        rows.append([first, *(tile_of(*each, label) for each in found)])
    sheet = draw_sheet(rows)
    with replaced_file(path) as temporary:
        try:
            sheet.save(temporary)
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            size = f"{sheet.width} × {sheet.height} pixels"
            raise UserError(f"--save {path}: cannot write {size}: {reason}") from error


if __name__ == "__main__":
    run_command(main)
