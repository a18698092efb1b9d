"""Stage `featurize`: runs the frozen backbone once over every image."""

from similarity.extractor import load_extractor
from similarity.features import compute_features
from similarity.files import write_array
from similarity.manifest import read_manifest
from similarity.params import Params
from stage import BACKBONE, FEATURES, IMAGES, MANIFEST, run, track


def main(params: Params) -> None:
    batch_size = params.backbone.batch_size
    paths = [IMAGES / key for key in read_manifest(MANIFEST).keys]
    extractor = load_extractor(BACKBONE, (batch_size,))
    blocks = compute_features(paths, extractor, batch_size)
    batches = -(-len(paths) // batch_size)
    write_array(FEATURES, (len(paths), extractor.features), track(blocks, "featurize", batches, unit=" batches"))
    print(f"featurize: {len(paths)} × {extractor.features} features")


if __name__ == "__main__":
    run(main)
