"""Stage `visual`: fits the visual part of the embedding, which no label and no parameter of `train` has a say in."""

from pipeline.inputs import load_rows
from pipeline.paths import BACKBONE, FEATURES, MANIFEST, SPLITS, VISUAL_PART
from pipeline.stage import counted, run_stage

import numpy as np

from similarity.dataset.manifest import read_manifest, read_splits
from similarity.embedding.visual_part import fit_visual_part, save_visual_part
from similarity.features.extractor import describe, tapped_columns
from similarity.files import Outputs
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    manifest, settings = read_manifest(MANIFEST), params.embedding
    # Without classes, no figure is about images that nothing was learned from.
    rows = read_splits(SPLITS, manifest)["train"] if manifest.can_teach else np.arange(len(manifest.records))
    features = load_rows(FEATURES, manifest, describe(BACKBONE)["features"])
    columns = tapped_columns(BACKBONE, settings.visual_taps if settings.visual_size else [])
    part = fit_visual_part(features, rows, columns, settings.visual_size, params.base.seed)
    save_visual_part(part, outputs.file(VISUAL_PART))
    print(f"visual: {counted(len(part.bias), 'component')} of {counted(len(columns), 'feature')}")


if __name__ == "__main__":
    run_stage(main)
