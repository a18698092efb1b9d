"""Stage `embed`: maps every image's features to its embedding."""

import numpy as np

from pipeline.paths import EMBEDDINGS, FEATURES, HEAD, MANIFEST
from pipeline.stage import run_stage, track
from similarity.dataset.manifest import read_manifest
from similarity.embedding.head import embed, load_head
from similarity.errors import UserError
from similarity.files import Outputs, write_array, write_json_entries
from similarity.params import Params
from similarity.vectors import count_zero_rows


def main(params: Params, outputs: Outputs) -> None:
    head = load_head(HEAD)
    if len(head.bias) != params.embedding.size:
        raise UserError(
            f"{HEAD} gives embeddings of size {len(head.bias)}, embedding.size in params.yaml is "
            f"{params.embedding.size}: run `dvc repro`"
        )
    embeddings = embed(np.load(FEATURES, mmap_mode="r"), head)
    keys = read_manifest(MANIFEST).keys
    write_array(outputs.file(EMBEDDINGS), [embeddings])
    entries = zip(keys, embeddings, strict=True)
    write_json_entries(outputs.file(EMBEDDINGS.with_suffix(".json")), track(entries, "embed", len(keys)))
    print(f"embed: {len(keys)} × {params.embedding.size}, of which all zeros: {count_zero_rows(embeddings)}")


if __name__ == "__main__":
    run_stage(main)
