"""Stage `map`: places every image in the plane, for a picture of them all, and once more by the look alone."""

from pipeline.paths import BASE_EMBEDDINGS, BASE_LOOK_MAP, BASE_MAP, MANIFEST
from pipeline.stage import counted, run_stage, track

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.files import Outputs, write_array
from similarity.params import Params
from similarity.pictures.projection import project


def main(params: Params, outputs: Outputs) -> None:
    embeddings = np.load(BASE_EMBEDDINGS, mmap_mode="r")
    look = embeddings[:, params.embedding.size if read_manifest(MANIFEST).can_teach else 0 :]  # after the class part
    layouts = {BASE_MAP: embeddings, BASE_LOOK_MAP: look if look.shape[1] else embeddings}
    for path, vectors in layouts.items():
        write_array(outputs.file(path), [_lay_out(vectors, params, "map" if path == BASE_MAP else "map by look")])
    landmarks = min(params.map.landmarks, len(embeddings))
    print(f"map: {counted(len(embeddings), 'image')} in the plane, {landmarks:,} of them laid out by t-SNE")


def _lay_out(vectors: np.ndarray, params: Params, label: str) -> np.ndarray:
    settings = params.map
    return project(
        vectors,
        settings.landmarks,
        settings.perplexity,
        params.base.seed,
        lambda blocks: track(blocks, f"{label}: place", unit=" blocks"),
        lambda rounds: track(rounds, f"{label}: t-SNE", unit=" rounds"),
    )


if __name__ == "__main__":
    run_stage(main)
