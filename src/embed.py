"""Stage `embed`: join the parts of the model, embed every image, and lay the embeddings out in the plane."""

from pipeline.inputs import check_finite, load_rows
from pipeline.stage import counted, run_stage, track

import numpy as np

from similarity import layout
from similarity.data.dataset.manifest import Manifest, read_manifest, read_splits
from similarity.data.features.extractor import tapped_columns
from similarity.data.files import Outputs, write_array, write_arrays, write_json_entries
from similarity.embedding.model import EmbeddingModel, VisualPart, fit_visual_part, load_head, save_embedder
from similarity.embedding.projection import project
from similarity.errors import UserError
from similarity.params import Params

LANDMARKS = 1000  # images that t-SNE lays out, in seconds; the others are placed between the nearest of them
PERPLEXITY = 30  # neighbors that t-SNE keeps near, roughly


def main(params: Params, outputs: Outputs) -> None:
    manifest, head = read_manifest(layout.MANIFEST), load_head(layout.HEAD)
    features = load_rows(layout.FEATURES, manifest, len(head.kernel))
    model = EmbeddingModel(head, fit_visual(features, manifest, params), params.embedding.visual_weight)
    if not model.size:
        raise UserError("the backbone sees no difference between the images, so they cannot be compared: add others")
    with np.errstate(over="ignore", invalid="ignore"):  # check_finite names the images
        embeddings = model(features)
    check_finite(embeddings, manifest, "the features are too large for the model: leave the images out")
    save_embedder(outputs.folder(layout.EMBEDDER), layout.BACKBONE, model)
    write_array(outputs.file(layout.EMBEDDINGS), embeddings)
    entries = track(zip(manifest.keys, embeddings, strict=True), "embed: write", len(embeddings))
    write_json_entries(outputs.file(layout.EMBEDDINGS_JSON), entries)
    write_arrays(outputs.file(layout.MAP), lay_out(embeddings, model.class_size, params.base.seed))
    print(f"embed: {counted(len(embeddings), 'embedding')} of {counted(model.size, 'number')}")
    class_part = embeddings[:, : model.class_size]
    if dead := int((~class_part.any(axis=0)).sum()):
        print(f"embed: {counted(dead, 'dimension')} of the class part zero for all images")
    if model.class_size and (zero := int((~class_part.any(axis=1)).sum())):
        print(f"embed: the class part of {counted(zero, 'image')} is all zeros")


def fit_visual(features: np.ndarray, manifest: Manifest, params: Params) -> VisualPart:
    """Fit the visual part to the training images, or to all images where no class can be learned."""
    settings = params.embedding
    # Without classes, no figure is about images that nothing was learned from.
    rows = read_splits(layout.SPLITS, manifest)["train"] if manifest.can_teach else np.arange(len(manifest.records))
    columns = tapped_columns(layout.BACKBONE, settings.visual_taps if settings.visual_size else [])
    return fit_visual_part(features, rows, columns, settings.visual_size, params.base.seed)


def lay_out(embeddings: np.ndarray, class_size: int, seed: int) -> dict[str, np.ndarray]:
    """Lay embeddings, float32 (n, E + K), out in the plane by all numbers and by the visual part: float32 (n, 2)."""
    has_both = 0 < class_size < embeddings.shape[1]
    several = [embeddings, embeddings[:, class_size:]] if has_both else [embeddings]
    positions = list(project(several, LANDMARKS, PERPLEXITY, seed))
    return {"all": positions[0], "look": positions[-1]}


if __name__ == "__main__":
    run_stage(main)
