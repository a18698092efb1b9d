"""Stage `backbone`: brings the pretrained network into the form that indexing and queries run."""

from pipeline.stage import run_stage

from pathlib import Path

import numpy as np

from similarity.features.efficientnet_lite import VARIANTS
from similarity.features.extractor import save_extractor
from similarity.features.lite_backbone import LiteBackbone, load_lite_backbone
from similarity.features.networks import Backbone, load_backbone
from similarity.features.onnx_backbone import OnnxBackbone, load_onnx_backbone
from similarity.files import Outputs
from similarity.generated.rocks import CLASSES, draw_rock
from similarity.layout import BACKBONE
from similarity.params import BackboneParams, Params
from similarity.tensorflow_setup import prepare_tensorflow


def main(params: Params, outputs: Outputs) -> None:
    settings = params.backbone
    backbone = load(settings)
    pictures = np.stack([draw_rock(label, 0, 0, settings.image_size) for label in CLASSES])
    description = {
        "name": Path(settings.name).name,
        "taps": settings.taps,
        "precision": "bf16" if settings.engine == "openvino_bf16" else "f32",
    }
    agreement = save_extractor(
        outputs.folder(BACKBONE), backbone, "keras" if settings.engine == "keras" else "openvino", pictures, description
    )
    print(
        f"backbone: {settings.name}, {backbone.features} features by {settings.engine}, lowest cosine to the network "
        f"itself {agreement:.7f}"
    )


def load(settings: BackboneParams) -> Backbone | LiteBackbone | OnnxBackbone:
    if settings.is_onnx:
        assert settings.normalization
        return load_onnx_backbone(Path(settings.name), *settings.normalization, settings.image_size)
    if settings.name in VARIANTS and settings.weights == "imagenet" and settings.engine != "keras":
        return load_lite_backbone(settings.name, settings.image_size, settings.taps)
    prepare_tensorflow()
    return load_backbone(settings.name, settings.weights, settings.image_size, settings.taps)


if __name__ == "__main__":
    run_stage(main)
