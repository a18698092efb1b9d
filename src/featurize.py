"""Stage `featurize`: runs the frozen backbone over every image that it was not run over before."""

from pipeline.feature_blocks import feature_blocks
from pipeline.inputs import check_finite
from pipeline.stage import counted, run_stage

from collections.abc import Iterator

import numpy as np

from similarity.dataset.manifest import read_manifest
from similarity.features.extractor import load_extractor
from similarity.files import Outputs, write_scattered_array
from similarity.images.shards import open_images
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST
from similarity.params import Params


def main(params: Params, outputs: Outputs) -> None:
    batch_size, manifest, images = params.backbone.batch_size, read_manifest(MANIFEST), open_images(IMAGES)
    extractor = load_extractor(BACKBONE, (batch_size,), throughput=True)
    files, digests = [images / key for key in manifest.keys], [record.sha256 for record in manifest.records]
    damaged, computed = np.zeros(len(files), bool), 0

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal computed
        for rows, features, is_computed in feature_blocks(files, digests, extractor, batch_size):
            damaged[rows] = ~np.isfinite(features).all(axis=1)
            computed += is_computed * len(rows)
            yield rows, features

    write_scattered_array(outputs.file(FEATURES), (len(files), extractor.features), blocks())
    check_finite(FEATURES, np.flatnonzero(damaged), manifest)
    print(
        f"featurize: {extractor.features:,} features of each of {counted(len(files), 'image')}, "
        f"{computed} images computed"
    )


if __name__ == "__main__":
    run_stage(main)
