"""Shows the images most similar to some: `python src/query.py marble/marble_0042.jpg`, `python src/query.py photo.jpg`.

An image is a key of the data set, or any image file. What only a file needs is imported where it is used, so that a key
is answered at once.
"""

from pipeline.paths import IMAGES, INVERTED_INDEX
from pipeline.sealing import check_run
from pipeline.stage import run_command, track

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

from similarity.errors import UserError
from similarity.index.inverted_index import find_neighbors, map_inverted_index

if TYPE_CHECKING:
    from similarity.index.searcher import Index, Searcher

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


def main() -> None:
    arguments = parse_arguments()
    if arguments.save:
        check_picture_name(arguments.save)
    queries = [resolve(name) for name in arguments.images]
    results = answer(queries, arguments.k, arguments.label, arguments.index, arguments.look)
    if not arguments.any:
        results = [result if result.similar else replace(result, neighbors=[]) for result in results]
    if arguments.save:
        save_sheet(results, arguments.save)
    if arguments.json:
        sys.stdout.buffer.write(as_json(results))
    else:
        print("\n\n".join(as_text(result) for result in results))
        if arguments.save:
            print(f"\nThe pictures are in {arguments.save}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="query.py", description="Shows the indexed images that are most similar to each of the given ones."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a key <class>/<name>, or an image file")
    parser.add_argument("-k", type=positive, default=10, help="how many to show for each (default: 10)")
    parser.add_argument(
        "--index",
        choices=("exact", "annoy", "faiss"),
        help="which index to search (default: exact; above a million images, that of ann.backend)",
    )
    parser.add_argument("--label", metavar="CLASS", help="show images of this class only")
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


def resolve(name: str) -> Query:
    """Tells whether a key or a file is meant; a name that is both is the key."""
    path = Path(name)
    # Not resolved: DVC may have made the images links to its cache.
    absolute, images = Path(os.path.normpath(path.absolute())), IMAGES.absolute()
    key = absolute.relative_to(images).as_posix() if absolute.is_relative_to(images) else os.path.normpath(name)
    if find_neighbors(inverted_index(), key) is not None:
        return Query(name, key, IMAGES / key)
    if path.is_dir():
        raise UserError(f"{name} is a folder: give the images in it, as in {path / '*'}")
    if path.exists():
        return Query(name, None, path)
    from similarity.index.searcher import unknown_name

    raise UserError(f"{unknown_name('image', name, searcher().manifest.keys)}; and there is no such file")


def answer(
    queries: Sequence[Query], k: int, label: str | None, index: "Index | None", look: float | None = None
) -> list[Result]:
    """Answers from the inverted index where it holds enough, and by a search where it does not."""
    embedded = iter(embed([query.path for query in queries if query.key is None]))
    results = []
    for query in queries:
        stored = find_neighbors(inverted_index(), query.key) if query.key else None
        if stored is not None and len(stored) >= k and label is look is None and index in {None, "exact"}:
            results.append(Result(query, "exact", str(INVERTED_INDEX), stored[:k]))
            continue
        distances = (0.0, 0.0)
        if query.key is None:
            embedding, distance, max_distance = next(embedded)
            distances = (distance, max_distance)
            found = searcher().similar(embedding, k, label, index, look)
        else:
            found = searcher().similar_to_row(searcher().row(query.key), k, label, index, look)
        neighbors = [(neighbor.key, neighbor.cosine) for neighbor in found.neighbors]
        source = f"search of {len(searcher().units)} images"
        results.append(Result(query, found.index, source, neighbors, *distances))
    return results


@cache
def inverted_index() -> mmap:
    check_run(INVERTED_INDEX)
    return map_inverted_index(INVERTED_INDEX)


@cache
def searcher() -> "Searcher":
    from pipeline.results import open_searcher

    return open_searcher()


def embed(paths: Sequence[Path]) -> list[tuple[np.ndarray, float, float]]:
    """Embeds image files.

    Gives for each its embedding, float32 (E + K,), its distance to the nearest indexed image, and how far that may be.
    """
    if not paths:
        return []
    from pipeline.results import open_embedder, open_reference

    from similarity.features.computing import load_pixels
    from similarity.parallel import ordered_map

    embedder = open_embedder(searcher(), (min(len(paths), MAX_BATCH),))
    load = partial(load_pixels, size=embedder.extractor.image_size)
    pixels = iter(track(ordered_map(load, paths), "embed", len(paths)))
    blocks = iter(lambda: list(islice(pixels, MAX_BATCH)), [])
    features = np.concatenate([embedder.extractor(np.stack(block)) for block in blocks])
    reference = open_reference()
    distances = reference.distances(features).tolist()
    embeddings = embedder.model(features)
    return [(*each, reference.max_distance) for each in zip(embeddings, distances, strict=True)]


def class_of(key: str) -> str:
    return key.split("/")[0]


def printable(name: str) -> str:
    """The name of a file, which may hold bytes that are no UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def as_text(result: Result) -> str:
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


def as_json(results: Sequence[Result]) -> bytes:
    queries = [
        {
            "query": printable(result.query.name),
            "key": result.query.key,
            "index": result.index,
            "source": result.source,
            "similar": result.similar,
            "distance": None if result.query.key else result.distance,
            "max_distance": None if result.query.key else result.max_distance,
            "neighbors": [{"key": key, "label": class_of(key), "cosine": cosine} for key, cosine in result.neighbors],
        }
        for result in results
    ]
    return orjson.dumps({"queries": queries}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def check_picture_name(path: Path) -> None:
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in {"PNG", "JPEG", "WEBP"}:
        raise UserError(f"--save {path}: the name must end in .png, .jpg or .webp")


def save_sheet(results: Sequence[Result], path: Path) -> None:
    from similarity.files import replaced_file
    from similarity.images.decoding import read_image_file
    from similarity.pictures.sheets import TILE_SIZE, Tile, draw_sheet, tile_of

    rows = []
    for query, neighbors in ((result.query, result.neighbors) for result in results):
        label = class_of(query.key) if query.key else None
        pixels = read_image_file(query.path, side=TILE_SIZE)
        first = (
            tile_of(pixels, query.key, "query", None) if query.key else Tile(pixels, ("query", query.path.name), None)
        )
        found = ((read_image_file(IMAGES / key, side=TILE_SIZE), key, f"{cosine:.3f}") for key, cosine in neighbors)
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
