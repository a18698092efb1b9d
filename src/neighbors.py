"""Stage `neighbors`: find every image's most similar others by comparing it with all of them."""

from pipeline.inputs import load_rows
from pipeline.stage import counted, run_stage, track

import numpy as np

from similarity.data.dataset.manifest import read_manifest
from similarity.data.files import Outputs
from similarity.data.vectors import nearest_neighbors
from similarity.index import write_inverted_index
from similarity.layout import EMBEDDINGS, INVERTED_INDEX, MANIFEST
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    embeddings = np.asarray(load_rows(EMBEDDINGS, manifest))
    rows, cosines = nearest_neighbors(
        embeddings, params.neighbors.top_k, lambda blocks: track(blocks, "neighbors: search", unit=" blocks")
    )
    entries = track(zip(rows, cosines, strict=True), "neighbors: write", len(rows))
    write_inverted_index(outputs.file(INVERTED_INDEX), manifest.keys, entries)
    print(f"neighbors: the {rows.shape[1]} nearest of {counted(len(rows), 'image')}")


if __name__ == "__main__":
    run_stage(main)
