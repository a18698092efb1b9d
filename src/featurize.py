"""Stage `featurize`: runs the frozen backbone once over every image."""

from similarity.backbones import load_backbone
from similarity.engines import check_against_keras, make_engine
from similarity.features import compute_features, pixel_batches
from similarity.files import write_array
from similarity.manifest import read_manifest
from similarity.params import Params
from similarity.tensorflow_setup import prepare_tensorflow
from stage import FEATURES, IMAGES, MANIFEST, run, track


def main(params: Params) -> None:
    settings = params.backbone
    paths = [IMAGES / key for key in read_manifest(MANIFEST).keys]
    prepare_tensorflow()
    backbone = load_backbone(settings.name, settings.weights, settings.image_size, settings.taps)
    predict = make_engine(settings.engine, backbone.model, settings.batch_size)
    sample = next(pixel_batches(paths[: settings.batch_size], settings.image_size, settings.batch_size))
    agreement = check_against_keras(predict, backbone.model, backbone.preprocess(sample))
    shape = (len(paths), backbone.model.output_shape[1])
    blocks = compute_features(paths, backbone, predict, settings.batch_size)
    write_array(FEATURES, shape, track(blocks, "featurize", -(-len(paths) // settings.batch_size), unit=" batches"))
    print(
        f"featurize: {len(paths)} × {shape[1]} features of {settings.name} by {settings.engine}, "
        f"lowest cosine to Keras {agreement:.7f}"
    )


if __name__ == "__main__":
    run(main)
