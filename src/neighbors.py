"""Stage `neighbors`: finds every image's most similar others by comparing it with all of them."""

from pipeline.inputs import load_rows
from pipeline.paths import BASE_EMBEDDINGS, BASE_NEIGHBORS, MANIFEST
from pipeline.stage import counted, run_stage, track

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.files import Outputs
from similarity.index.exact import nearest_neighbors
from similarity.index.neighbor_lists import NeighborLists, save_neighbors
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    embeddings = np.asarray(load_rows(BASE_EMBEDDINGS, read_manifest(MANIFEST)))
    found = nearest_neighbors(
        embeddings, params.neighbors.top_k, lambda blocks: track(blocks, "neighbors: search", unit=" blocks")
    )
    save_neighbors(NeighborLists(*found), outputs.file(BASE_NEIGHBORS))
    print(f"neighbors: the {found[0].shape[1]} nearest of {counted(len(embeddings), 'image')}")


if __name__ == "__main__":
    run_stage(main)
