"""Stage `embed`: joins the parts of the model, and maps every image's features to its embedding."""

from pipeline.inputs import check_finite, load_rows
from pipeline.paths import BACKBONE, BASE_EMBEDDINGS, EMBEDDER, FEATURES, HEAD, MANIFEST, METRICS, VISUAL_PART
from pipeline.problems import listing_problems
from pipeline.stage import counted, run_stage

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.embedding.embedder import save_embedder
from similarity.embedding.head import load_head, without_embedding
from similarity.embedding.model import EmbeddingModel
from similarity.embedding.visual_part import load_visual_part
from similarity.errors import UserError
from similarity.files import Outputs, write_array, write_metrics
from similarity.params import Params
from similarity.vectors import count_zero_rows, rows_not_finite


@listing_problems()
def main(params: Params, outputs: Outputs) -> None:
    manifest, head = read_manifest(MANIFEST), load_head(HEAD)
    if not manifest.can_teach:
        head = without_embedding(head)
    model = EmbeddingModel(head, load_visual_part(VISUAL_PART), params.embedding.visual_weight)
    if not model.size:
        raise UserError(
            "the backbone sees no difference between the images, so that they cannot be compared: add others"
        )
    features = load_rows(FEATURES, manifest, len(model.head.kernel))
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        embeddings = model(features)
    check_finite(BASE_EMBEDDINGS, rows_not_finite(embeddings), manifest)
    write_array(outputs.file(BASE_EMBEDDINGS), [embeddings])
    save_embedder(outputs.folder(EMBEDDER), BACKBONE, model)
    class_part = embeddings[:, : model.class_size]
    figures = {
        "dimensions": model.size,
        "dead_dimensions": int((~class_part.any(axis=0)).sum()),
        "zero_class_parts": count_zero_rows(class_part) if model.class_size else 0,
    }
    write_metrics(outputs.file(METRICS / "embeddings.json"), figures)
    dead, zero = figures["dead_dimensions"], figures["zero_class_parts"]
    print(
        f"embed: {counted(len(embeddings), 'embedding')} of {counted(model.size, 'number')}"
        + (f"; {counted(dead, 'dimension')} of the class part zero for all images" if dead else "")
        + (f"; the class part of {counted(zero, 'image')} is all zeros" if zero else "")
    )


if __name__ == "__main__":
    run_stage(main)
