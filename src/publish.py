"""Writes the embeddings to a vector database, for services to search there: `python src/publish.py --to FOLDER`.

The database is LanceDB's, in a folder or, as s3://…, in a bucket. What is written there is searched with
`--index lancedb` and SIMILARITY_URI; see docs/publishing.md.
"""

from pipeline.inputs import load_rows
from pipeline.publishing import VARIABLE, tag_of_run
from pipeline.results import open_splits
from pipeline.sealing import check_run
from pipeline.stage import run_command, track

import argparse
import os
from collections.abc import Sequence
from mmap import mmap
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest, read_manifest
from similarity.embedding.embedder import load_embedding_model
from similarity.errors import UserError
from similarity.index.inverted_index import find_neighbors, map_inverted_index
from similarity.index.recall import recall
from similarity.index.vector_stores import VectorStore
from similarity.layout import EMBEDDER, EMBEDDINGS, INVERTED_INDEX, MANIFEST, SPLITS
from similarity.opening.run_files import parts_of
from similarity.published.store import open_version
from similarity.published.writing import PublishedRows, move_tag, write_rows

MEASURED = 1000  # images whose neighbors are looked for


class Measured(NamedTuple):
    """The recall of the index, for how many neighbors, and of how many images."""

    recall: float
    k: int
    images: int


def main() -> None:
    uri, tag = parse_arguments().to, tag_of_run()
    check_run(MANIFEST, SPLITS, EMBEDDER, EMBEDDINGS, INVERTED_INDEX)
    rows, parts = read_rows(), parts_of(load_embedding_model(EMBEDDER))
    written = write_rows(uri, rows, track)
    found = measure(open_version(uri, written.version, rows.keys, parts), rows.keys)
    move_tag(uri, parts.size, tag, written.version)
    print(
        f"publish: {len(rows.keys)} images at {uri}, {written.written} written, {written.deleted} deleted; "
        f"recall@{found.k} {found.recall:.4f} of {found.images} images\n"
        f"publish: version {written.version} is {tag}; search it with {VARIABLE}={uri} and --index lancedb"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="publish.py", description="Writes keys, classes, splits and embeddings to a database of LanceDB."
    )
    parser.add_argument(
        "--to",
        metavar="URI",
        default=os.environ.get(VARIABLE),
        help=f"a folder, or s3://bucket/path, gs://…, az://… (default: {VARIABLE})",
    )
    arguments = parser.parse_args()
    if not arguments.to:
        parser.error(f"say where with --to, or with {VARIABLE}")
    return arguments


def read_rows() -> PublishedRows:
    manifest = read_manifest(MANIFEST)
    labels = [record.label for record in manifest.records]
    return PublishedRows(manifest.keys, labels, splits_of(manifest), load_rows(EMBEDDINGS, manifest))


def splits_of(manifest: Manifest) -> list[str]:
    """The split of each image; "" for what was added since the split."""
    splits = np.full(len(manifest.keys), "", object)
    for split, rows in (open_splits() or {}).items():
        splits[rows] = split
    return splits.tolist()


def measure(store: VectorStore, keys: Sequence[str]) -> Measured:
    """Compares what the index finds for some images with their exact neighbors."""
    exact, cosines = map_inverted_index(INVERTED_INDEX), []
    rows = np.unique(np.linspace(0, len(keys) - 1, MEASURED).astype(int)).tolist()
    expected = [[cosine for _, cosine in neighbors_of(exact, keys[row])] for row in rows]
    k = len(expected[0])
    for row, unit in zip(track(rows, "measure"), store[rows], strict=True):
        cosines.append(store.nearest(unit, k, exact=False, excluded=[row])[1])
    return Measured(recall(np.array(cosines), np.array(expected)), k, len(rows))


def neighbors_of(inverted_index: mmap, key: str) -> list[tuple[str, float]]:
    found = find_neighbors(inverted_index, key)
    if found is None:
        raise UserError(f"{INVERTED_INDEX} lists other images than {MANIFEST}: run `dvc repro`")
    return found


if __name__ == "__main__":
    run_command(main)
