"""Stage `neighbors`: finds every image's most similar others by comparing it with all of them."""

from pipeline.inputs import load_rows
from pipeline.paths import EMBEDDINGS, INVERTED_INDEX, MANIFEST
from pipeline.stage import counted, run_stage, track

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.files import Outputs
from similarity.index.exact import nearest_neighbors
from similarity.index.inverted_index import write_inverted_index
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest = read_manifest(MANIFEST)
    keys, embeddings = manifest.keys, np.asarray(load_rows(EMBEDDINGS, manifest))
    found = nearest_neighbors(
        embeddings, params.neighbors.top_k, lambda blocks: track(blocks, "neighbors: search", unit=" blocks")
    )
    neighbors = zip(*found, strict=True)
    write_inverted_index(outputs.file(INVERTED_INDEX), keys, track(neighbors, "neighbors: write", len(keys)))
    print(f"neighbors: the {min(params.neighbors.top_k, len(keys) - 1)} nearest of {counted(len(keys), 'image')}")


if __name__ == "__main__":
    run_stage(main)
