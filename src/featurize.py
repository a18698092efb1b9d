"""Stage `featurize`: run the frozen backbone over every image that it was not run over before."""

from pipeline.inputs import check_finite, user_cache
from pipeline.stage import counted, run_stage, track

from itertools import islice

import numpy as np

from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.computing import compute_features, fingerprint
from similarity.data.features.extractor import describe
from similarity.data.files import Outputs, open_array
from similarity.data.images.wide import read_ranges
from similarity.layout import BACKBONE, FEATURES, IMAGES, MANIFEST, RANGES
from similarity.params import Params

LOOKED_UP = 500  # images at a time, to bound the memory


def main(params: Params, outputs: Outputs) -> None:
    manifest, ranges, batch_size = read_manifest(MANIFEST), read_ranges(RANGES), params.backbone.batch_size
    digests, missing = [record.sha256 for record in manifest.records], list[int]()
    path, width = outputs.file(FEATURES), describe(BACKBONE)["features"]
    with (
        user_cache("features", fingerprint(BACKBONE, batch_size, ranges)) as cache,
        open_array(path, (width,), np.float32) as write,
    ):
        for start in range(0, len(digests), LOOKED_UP):
            wanted = digests[start : start + LOOKED_UP]
            found = cache.get_many(wanted)
            for row, digest in enumerate(wanted, start):
                if len(found.get(digest, b"")) == 4 * width:
                    write(row, np.frombuffer(found[digest], np.float32)[None])
                else:
                    missing.append(row)
        images, rows = [(IMAGES / manifest.keys[row], digests[row]) for row in missing], iter(missing)
        batches = compute_features(images, BACKBONE, batch_size, ranges)
        for features in track(batches, "featurize", -(-len(missing) // batch_size), " batches"):
            computed = list(zip(islice(rows, len(features)), features, strict=True))
            cache.put_many({digests[row]: values.tobytes() for row, values in computed})
            for row, values in computed:
                write(row, values[None])
    check_finite(np.load(path, mmap_mode="r"), manifest, "the backbone cannot compare them: leave them out")
    print(f"featurize: {width:,} features of each of {counted(len(digests), 'image')}, {len(missing)} images computed")


if __name__ == "__main__":
    run_stage(main)
