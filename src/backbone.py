"""Stage `backbone`: bring the pretrained network into the form that indexing and queries run."""

from pipeline.stage import run_stage

from pathlib import Path

import numpy as np

from similarity.data.features.extractor import MIN_AGREEMENT, load_extractor, lowest_cosine, save_extractor
from similarity.data.features.networks import load_backbone, read_onnx
from similarity.data.files import Outputs
from similarity.data.quiet import prepare_tensorflow
from similarity.data.sources.ceramics import CLASSES, draw_picture
from similarity.errors import UserError
from similarity.layout import BACKBONE
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    settings, folder = params.backbone, outputs.folder(BACKBONE)
    name, engine, size = Path(settings.name).name, settings.engine, settings.image_size
    if settings.normalization:
        save_extractor(folder, read_onnx(Path(settings.name), *settings.normalization, size), name, engine, [])
        print(f"backbone: {settings.name}, {load_extractor(folder, [1]).features} features by {engine}")
        return
    prepare_tensorflow()
    backbone = load_backbone(settings.name, settings.weights, size, settings.taps)
    save_extractor(folder, backbone, name, engine, settings.taps)
    extractor = load_extractor(folder, [len(CLASSES)])
    pictures = np.stack([draw_picture(label, 0, 0, size) for label in CLASSES]).astype(np.float32)
    agreement = lowest_cosine(extractor(pictures), backbone.predict(pictures))
    if not agreement >= MIN_AGREEMENT[engine]:
        raise UserError(
            f"{engine} disagrees with Keras on this machine (cosine {agreement:.4f}; at least {MIN_AGREEMENT[engine]} "
            "is needed): set backbone.engine to keras in params.yaml, and please report this"
        )
    print(f"backbone: {name}, {extractor.features} features by {engine}, lowest cosine to Keras {agreement:.7f}")


if __name__ == "__main__":
    run_stage(main)
