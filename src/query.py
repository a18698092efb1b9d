"""Shows the images most similar to some: `python src/query.py marble/marble_0042.jpg`, `python src/query.py photo.jpg`.

An image is a key of the data set, or any image file; of a folder, all images below it are asked for. What cannot be
answered is told in its place, and the exit status is 1. A key is answered at once, as little is imported for it.
"""

from pipeline.stage import run_command, track

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from similarity.errors import UserError
from similarity.opening.image_index import ImageIndex, Options
from similarity.opening.matches import Failure, Matches, Query, Result

if TYPE_CHECKING:
    from similarity.index.searcher import Searcher


def main() -> None:
    arguments = parse_arguments()
    if arguments.save:
        check_picture_name(arguments.save)
    options = Options(arguments.k, arguments.label, arguments.index, arguments.look, arguments.split)
    index = ImageIndex(Path(), open_published if options.index == "lancedb" else None)
    queries = [query for name in arguments.images for query in resolve(name, index)]
    results = index.answer(queries, options, arguments.any, show_progress)
    answered = [result for result in results if isinstance(result, Result)]
    if arguments.save and answered:
        save_sheet(index, answered, arguments.save)
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


def open_published() -> "Searcher":
    from pipeline.publishing import open_published_searcher

    return open_published_searcher()


def show_progress(images: Iterable, count: int) -> Iterable:
    return track(images, "embed", count)


def resolve(name: str, index: ImageIndex) -> list[Query | Failure]:
    """Tells whether a key, a file or a folder is meant; a name that is both is the key."""
    path = Path(name)
    if key := index.key_of(name):
        return [Query(name, key, None)]
    try:
        if path.is_dir():
            return [query for file in images_below(path) for query in resolve(file, index)] or [
                Failure(name, f"{name}: there are no images in this folder, nor below it")
            ]
        if path.exists():
            return [Query(name, None, path)]
    except OSError as error:
        return [Failure(name, f"{name}: {error.strerror or error}")]
    return [Failure(name, str(index.unknown_image(name)))]


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


def save_sheet(index: ImageIndex, results: Sequence[Result], path: Path) -> None:
    from similarity.files import replaced_file

    sheet = index.draw(Matches(results))
    with replaced_file(path) as temporary:
        try:
            sheet.save(temporary)
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            size = f"{sheet.width} × {sheet.height} pixels"
            raise UserError(f"--save {path}: cannot write {size}: {reason}") from error


if __name__ == "__main__":
    run_command(main)
