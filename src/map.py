"""Stage `map`: places every image in the plane, for a picture of them all."""

from pipeline.paths import EMBEDDINGS, MAP
from pipeline.stage import run_stage, track

import numpy as np

from similarity.files import Outputs, write_array
from similarity.params import Params
from similarity.pictures.projection import project


def main(params: Params, outputs: Outputs) -> None:
    embeddings, settings = np.load(EMBEDDINGS, mmap_mode="r"), params.map
    points = project(
        embeddings,
        settings.landmarks,
        settings.perplexity,
        params.base.seed,
        lambda blocks: track(blocks, "map", unit=" blocks"),
    )
    write_array(outputs.file(MAP), [points])
    print(f"map: {len(points)} points, {min(settings.landmarks, len(points))} of them landmarks laid out by t-SNE")


if __name__ == "__main__":
    run_stage(main)
