"""Write all embeddings to a vector database, for services to search there: `python src/publish.py --to FOLDER`.

It is LanceDB's, in a folder or, as s3://…, in a bucket. `--add FOLDER` embeds new images with the present model.
"""

from pipeline.stage import counted, run_command, track

import argparse
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from similarity.data.dataset.manifest import UNLABELED, ImageRecord
from similarity.data.vectors import normalize
from similarity.engine.engine import Engine, images_below
from similarity.engine.published import VARIABLE, Row, add, publish, table_of
from similarity.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(prog="publish.py", description="Write all embeddings to a database of LanceDB.")
    parser.add_argument("--to", metavar="URI", default=os.environ.get(VARIABLE),
        help=f"a folder, or s3://bucket/path, gs://…, az://… (default: {VARIABLE})")  # fmt: skip
    parser.add_argument("--add", metavar="FOLDER", type=Path, help="embed the images below it, and add them")
    arguments, index = parser.parse_args(), Engine(Path())
    if not arguments.to:
        parser.error(f"say where with --to, or with {VARIABLE}")
    index.load()
    name, size = table_of(index.lock), index.gallery.vectors.parts.size
    if arguments.add:
        rows = embed_rows(index, arguments.add)
        total = add(arguments.to, name, rows, size)
        print(f"publish: {counted(len(rows), 'image')} added to {name} at {arguments.to}, which has {total} now")
    else:
        publish(arguments.to, name, indexed_rows(index), size)
        print(f"publish: {counted(len(index), 'image')} at {arguments.to} as {name}")
    print(f"publish: search it with {VARIABLE}={arguments.to} and --index lancedb")


def indexed_rows(index: Engine) -> Iterator[Row]:
    gallery = index.gallery
    for row, record in track(enumerate(gallery.manifest.records), "publish", len(index)):
        yield Row(record, gallery.split(row) or "", "", gallery.vectors[row])


def embed_rows(index: Engine, folder: Path) -> list[Row]:
    files = images_below(folder)
    if not files:
        raise UserError(f"{folder}: there are no images in this folder, nor below it")
    rows, sources = [], dict[str, Path]()
    for file in files:
        parts = file.relative_to(folder).parts
        label, *names = parts if len(parts) > 1 else (UNLABELED, *parts)
        key = f"{label}/{'__'.join(names)}"
        if key in sources:
            raise UserError(f"{sources[key]} and {file} would both be added as {key}: rename one: nothing was added")
        sources[key] = file
    for (key, file), each in zip(sources.items(), index.embedder(track(files, "embed")), strict=True):
        if isinstance(each, Exception):
            raise UserError(f"{file}: {each}: nothing was added")
        record = ImageRecord(key, key.split("/")[0], sha256(file.read_bytes()).hexdigest(), *each.size)
        rows.append(Row(record, "", str(file.resolve()), normalize(each.embedding[None])[0]))
    return rows


if __name__ == "__main__":
    run_command(main)
