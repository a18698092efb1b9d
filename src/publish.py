"""Write all embeddings to a vector database, for services to search there: `python src/publish.py --to FOLDER`.

It is LanceDB's, in a folder or, as s3://…, in a bucket. `--add FOLDER` embeds new images with the present model.
"""

from pipeline.stage import counted, run_command, track

import argparse
import os
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
    name = table_of(index.lock)
    (add_images if arguments.add else publish_all)(index, name, arguments)
    print(f"publish: search it with {VARIABLE}={arguments.to} and --index lancedb")


def publish_all(index: Engine, name: str, arguments: argparse.Namespace) -> None:
    gallery = index.gallery
    records = track(enumerate(gallery.manifest.records), "publish", len(index))
    rows = (Row(record, gallery.split(row) or "", "", gallery.vectors[row]) for row, record in records)
    publish(arguments.to, name, rows, index.gallery.vectors.parts.size)
    print(f"publish: {counted(len(index), 'image')} at {arguments.to} as {name}")


def add_images(index: Engine, name: str, arguments: argparse.Namespace) -> None:
    files = {key_of(file, arguments.add): file.resolve() for file in images_below(arguments.add)}
    if not files:
        raise UserError(f"{arguments.add}: there are no images in this folder, nor below it")
    rows, unlike = [], []
    embedded = index.embedder(track(files.values(), "embed", len(files)))
    for (key, file), each in zip(files.items(), embedded, strict=True):
        if isinstance(each, Exception):
            raise UserError(f"{file}: {each}: nothing was added")
        unlike += [key] * (each.distance > index.novelty.limit)
        record = ImageRecord(key, key.split("/")[0], sha256(file.read_bytes()).hexdigest(), *each.size)
        rows.append(Row(record, "", str(file), normalize(each.embedding[None])[0]))
    total = add(arguments.to, name, rows, index.gallery.vectors.parts.size)
    print(f"publish: {counted(len(files), 'image')} added to {name} at {arguments.to}, which has {total} now")
    if unlike:
        print(f"publish: {len(unlike)} of them are like nothing that the model was trained on, such as {unlike[0]}")


def key_of(file: Path, folder: Path) -> str:
    label, *rest = file.relative_to(folder).parts
    return f"{label}/{'__'.join(rest)}" if rest else f"{UNLABELED}/{label}"


if __name__ == "__main__":
    run_command(main)
