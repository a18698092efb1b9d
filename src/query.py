"""Show the images most similar to some: `python src/query.py jug/jug_0042.jpg`, `python src/query.py photo.jpg`.

An image is a key of the data set, or any image file; a folder stands for all images below it. An image that fails gets
an error in its place, and the exit status is 1. A key is answered at once, as little is imported for it.
"""

from pipeline.stage import run_command, track

import argparse
import os
import sys
from base64 import b64encode
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import orjson

from similarity.engine.engine import Engine, images_below
from similarity.engine.results import NOTHING_SIMILAR, Failure, Matches, Options, Query, Result
from similarity.errors import UserError

MAX_BATCH = 16  # images that the backbone runs on at once
PREVIEWED = 10  # queries at most whose answers are shown as pictures in the terminal
KITTY_PART = 4096  # letters that kitty takes at a time


def main() -> None:
    arguments = parse_arguments()
    if arguments.save and not arguments.save.parent.is_dir():
        raise UserError(f"--save {arguments.save}: there is no folder {arguments.save.parent}")
    options = Options(arguments.k, arguments.label, arguments.index, arguments.look, arguments.split, any=arguments.any)
    is_one = len(arguments.images) == 1 and not os.path.isdir(arguments.images[0])  # noqa: PTH112
    index = Engine(Path(), arguments.index == "lancedb", (1 if is_one else MAX_BATCH,))
    queries = [query for name in arguments.images for query in resolve(name, index)]
    results = index.answer(queries, options, lambda images: track(images, "embed"))
    answered = [result for result in results if isinstance(result, Result)]
    if arguments.save and answered:
        from similarity.data.files import replaced_file

        with replaced_file(arguments.save) as path:
            try:
                Matches(answered, index.images).draw().save(path)
            except ValueError as error:  # an unknown format, or more pixels than it can hold
                raise UserError(f"--save {arguments.save}: {error}") from error
    if arguments.json:
        entries = {"queries": [as_entry(result) for result in results]}
        sys.stdout.buffer.write(orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    elif arguments.files:
        print(*(index.images / each.key for result in answered for each in result.neighbors), sep="\n")
    elif answered or len(results) > 1:
        print("\n\n".join(as_text(result) for result in results))
        if arguments.save and answered:
            print(f"\nThe pictures are in {arguments.save}")
        if answered and (protocol := preview_protocol()):
            with suppress(OSError, UserError):  # files that are gone are no reason to fail
                picture = BytesIO()
                Matches(answered[:PREVIEWED], index.images).draw().save(picture, "PNG")
                show_preview(picture.getvalue(), protocol)
    sys.stdout.flush()
    if failures := [result for result in results if isinstance(result, Failure)]:
        count = len(results)
        raise UserError(failures[0].reason if count == 1 else f"{len(failures)} of {count} images cannot be answered")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="query.py", description="Show the indexed images most similar to some.")
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a key <class>/<name>, an image file, or a folder of these; - reads one from stdin",
    )
    add("-k", type=int, default=10, help="how many to show for each (default: 10)")
    add("--index", choices=("exact", "annoy", "lancedb"),
        help="which index to search; lancedb is what publish.py wrote to SIMILARITY_URI (default: exact; annoy above "
        "a million images)")  # fmt: skip
    add("--label", metavar="CLASS", help="show images of this class only")
    add("--split", choices=("train", "valid", "test"), help="show images of this split only")
    add("--look", type=float, metavar="0…1",
        help="0: images of the same kind, 1: those of the same look (default: embedding.visual_weight)")  # fmt: skip
    add("--any", action="store_true", help="show the nearest images even if none is similar")
    add("-f", "--files", action="store_true", help="print the paths of the images found and nothing else, as for xargs")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--save", metavar="OUT.png", type=Path, help="draw queries and answers as a contact sheet")
    return parser.parse_args()


def resolve(name: str, index: Engine) -> list[Query | Failure]:
    """Find out which queries an argument stands for."""
    if name == "-":
        return [Query("stdin", images=(sys.stdin.buffer.read(),))]
    if not os.path.isdir(name):  # noqa: PTH112  # no error for a name too long
        return [index.resolve(name)]
    return [index.resolve(str(file)) for file in images_below(Path(name))] or [
        Failure(name, UserError(f"{name}: there are no images in this folder, nor below it"))
    ]


def printable(name: str) -> str:
    """Return the name of a file, which may hold bytes that are not UTF-8, as text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_text(result: Result | Failure) -> str:
    if isinstance(result, Failure):
        return f"error: {printable(result.reason)}"
    name, key = printable(result.query.name), result.indexed_as
    state = "indexed" if result.query.key else f"indexed as {key}" if key else "not indexed"
    lines = [f"{name} ({state}; {result.index}, {result.source})"]
    lines += [f"{n:4}  {each.likeness:3}  {each.words:12}  {each.key}" for n, each in enumerate(result.neighbors, 1)]
    if not result.similar:
        shown = "these are only the nearest" if result.neighbors else "--any shows the nearest"
        lines.append(f"      {NOTHING_SIMILAR} ({shown})")
    return "\n".join(lines)


def as_entry(result: Result | Failure) -> dict[str, object]:
    if isinstance(result, Failure):
        return {"query": printable(result.name), "error": printable(result.reason)}
    facts = ("index", "source", "similar", "distance", "max_distance", "indexed_as")
    fields = ("key", "cosine", "likeness", "label", "words")
    return {
        "query": printable(result.query.name),
        "key": result.query.key,
        **{name: getattr(result, name) for name in facts},
        "neighbors": [{name: getattr(each, name) for name in fields} for each in result.neighbors],
    }


def preview_protocol() -> str | None:
    """Return how this terminal shows pictures, if it does, by what it says of itself."""
    if sys.stdout.isatty() and "KITTY_WINDOW_ID" in os.environ:
        return "kitty"
    shows = sys.stdout.isatty() and os.environ.get("TERM_PROGRAM") in {"iTerm.app", "WezTerm"}
    return "iterm2" if shows else None


def show_preview(picture: bytes, protocol: str) -> None:
    """Show a PNG in the terminal: https://iterm2.com/documentation-images.html, or kitty's graphics protocol."""
    text = b64encode(picture).decode()
    if protocol == "iterm2":
        print(f"\033]1337;File=inline=1;size={len(picture)}:{text}\a")
        return
    for start in range(0, len(text), KITTY_PART):
        head, is_last = "a=T,f=100," if start == 0 else "", start + KITTY_PART >= len(text)
        sys.stdout.write(f"\033_G{head}m={int(not is_last)};{text[start : start + KITTY_PART]}\033\\")
    print()


if __name__ == "__main__":
    run_command(main)
