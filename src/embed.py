"""Stage `embed`: join the parts of the model, embed every image, and lay the embeddings out in the plane."""

from pipeline.inputs import check_finite, load_rows
from pipeline.stage import counted, run_stage, track

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import read_manifest, read_splits
from similarity.data.features.extractor import tapped_columns
from similarity.data.files import Outputs, write_array, write_arrays, write_json_entries
from similarity.embedding.model import EmbeddingModel, fit_visual_part, load_head, save_embedder
from similarity.embedding.projection import project
from similarity.errors import UserError
from similarity.params import Params

LANDMARKS = 1000  # images that t-SNE lays out, in seconds; the others are placed between the nearest of them
PERPLEXITY = 30  # neighbors that t-SNE keeps near, roughly


def main(params: Params, outputs: Outputs) -> None:
    manifest, head, settings = read_manifest(layout.MANIFEST), load_head(layout.HEAD), params.embedding
    features = load_rows(layout.FEATURES, manifest, len(head.kernel))
    rows = np.arange(len(features))
    if manifest.can_teach:  # else no figure is about images that nothing was learned from
        rows = read_splits(layout.SPLITS, manifest)["train"]
    columns = tapped_columns(layout.BACKBONE, settings.visual_taps if settings.visual_size else [])
    visual = fit_visual_part(features, rows, columns, settings.visual_size, params.base.seed)
    model = EmbeddingModel(head, visual, settings.visual_weight)
    if not model.size:
        raise UserError("the backbone sees no difference between the images, so they cannot be compared: add others")
    with np.errstate(over="ignore", invalid="ignore"):  # check_finite names the images
        embeddings = model(features)
    check_finite(embeddings, manifest, "the features are too large for the model: leave the images out")
    save_embedder(outputs.folder(layout.EMBEDDER), layout.BACKBONE, model)
    write_array(outputs.file(layout.EMBEDDINGS), embeddings)
    entries = track(zip(manifest.keys, embeddings, strict=True), "embed: write", len(embeddings))
    write_json_entries(outputs.file(layout.EMBEDDINGS_JSON), entries)
    class_part, visual_part = np.split(embeddings, [model.class_size], axis=1)
    laid_out = [embeddings, visual_part] if 0 < model.class_size < model.size else [embeddings]
    places = list(project(laid_out, LANDMARKS, PERPLEXITY, params.base.seed))
    write_arrays(outputs.file(layout.MAP), {"all": places[0], "look": places[-1]})
    print(f"embed: {counted(len(embeddings), 'embedding')} of {counted(model.size, 'number')}")
    if dead := int((~class_part.any(axis=0)).sum()):
        print(f"embed: {counted(dead, 'dimension')} of the class part zero for all images")
    if model.class_size and (zero := int((~class_part.any(axis=1)).sum())):
        print(f"embed: the class part of {counted(zero, 'image')} is all zeros")


if __name__ == "__main__":
    run_stage(main)
