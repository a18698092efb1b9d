"""Stage `backbone`: brings the pretrained network into the form that indexing and queries run."""

import numpy as np

from pipeline.paths import BACKBONE
from pipeline.stage import run_stage
from similarity.features.extractor import save_extractor
from similarity.features.networks import load_backbone
from similarity.files import Outputs
from similarity.generated.rocks import CLASSES, draw_rock
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow


def main(params: Params, outputs: Outputs) -> None:
    settings = params.backbone
    prepare_tensorflow()
    backbone = load_backbone(settings.name, settings.weights, settings.image_size, settings.taps)
    pictures = np.stack([draw_rock(label, 0, 0, settings.image_size) for label in CLASSES])
    description = {"name": settings.name, "taps": settings.taps}
    agreement = save_extractor(outputs.folder(BACKBONE), backbone, settings.engine, pictures, description)
    features = backbone.model.output_shape[1]
    print(
        f"backbone: {settings.name}, {features} features by {settings.engine}, lowest cosine to Keras {agreement:.7f}"
    )


if __name__ == "__main__":
    run_stage(main)
