"""Stage `backbone`: brings the pretrained network into the form that indexing and queries run."""

import numpy as np

from pipeline.paths import BACKBONE
from pipeline.stage import run
from similarity.features.extractor import save_extractor
from similarity.features.networks import load_backbone
from similarity.files import replaced_folder
from similarity.generated.rocks import CLASSES, draw_rock
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow


def main(params: Params) -> None:
    settings = params.backbone
    prepare_tensorflow()
    backbone = load_backbone(settings.name, settings.weights, settings.image_size, settings.taps)
    pictures = np.stack([draw_rock(label, 0, 0, settings.image_size) for label in CLASSES])
    description = {"name": settings.name, "taps": settings.taps}
    with replaced_folder(BACKBONE) as folder:
        agreement = save_extractor(folder, backbone, settings.engine, pictures, description)
    features = backbone.model.output_shape[1]
    print(
        f"backbone: {settings.name}, {features} features by {settings.engine}, lowest cosine to Keras {agreement:.7f}"
    )


if __name__ == "__main__":
    run(main)
