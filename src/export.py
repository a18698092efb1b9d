"""Exports the model, from pixels to embeddings, for other programs: `python src/export.py --format all`.

Nothing is left in the folder that was not loaded again and found to give the stored embeddings of indexed images.
"""

from pipeline.results import Stored, open_stored
from pipeline.stage import run_command, track

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.errors import UserError
from similarity.exporting import formats as exporting
from similarity.exporting.notes import TITLE, Check, describe, digests
from similarity.features.computing import load_pixels
from similarity.features.extractor import MIN_AGREEMENT
from similarity.features.extractor import describe as describe_extractor
from similarity.files import replaced_folder
from similarity.layout import EMBEDDER, EMBEDDINGS, IMAGES, MANIFEST
from similarity.params import load_params

SAVED_MODEL, ONNX, NOTES = "saved_model", "model.onnx", "README.md"
CHECKED_IMAGES = 100


class Sample(NamedTuple):
    """Images that the exported model is checked with.

    Attributes:
        contents: the files' content.
        pixels: float32 (n, size, size, 3) in 0…255.
        embeddings: what is stored for them, float32 (n, E).
        decodable: numbers of those that the model's own decoder is meant to read as the pipeline does, int64 (m,).
    """

    contents: list[bytes]
    pixels: np.ndarray
    embeddings: np.ndarray
    decodable: np.ndarray


def main() -> None:
    arguments = parse_arguments()
    if arguments.format != "saved_model":
        exporting.require_onnx()
    out = arguments.out.resolve()
    refuse_other_folders(out)
    weights, stored = load_params().backbone.weights, open_stored()
    exporting.require_keras(EMBEDDER)
    from similarity.tensorflow_setup import prepare_tensorflow

    prepare_tensorflow()
    backbone = exporting.load_keras_backbone(EMBEDDER, weights)
    graph = exporting.build_graph(backbone, stored.model)
    sample = take_sample(stored, backbone.image_size)
    with replaced_folder(out) as folder:
        checks: list[Check] = []
        if arguments.format != "onnx":
            exporting.save_saved_model(folder / SAVED_MODEL, graph, bool(len(sample.decodable)))
            checks += check_saved_model(folder / SAVED_MODEL, sample)
        if arguments.format != "saved_model":
            exporting.save_onnx(folder / ONNX, graph)
            checks.append(check(ONNX, exporting.load_onnx(folder / ONNX), sample.pixels, sample.embeddings))
        notes = describe(sample.pixels.shape[1], sample.embeddings.shape[1], checks, inputs(), digests(folder, folder))
        (folder / NOTES).write_text(notes, encoding="utf-8")
    print(f"{arguments.out} holds the model, its {NOTES} says how to use it")
    for each in checks:
        print(f"  {each.artifact}: {each.images} indexed images checked, lowest cosine {each.lowest:.7f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="export.py", description="Exports the model, from pixels to embeddings, for other programs."
    )
    parser.add_argument(
        "--format",
        choices=("saved_model", "onnx", "all"),
        default="saved_model",
        help="default: saved_model; onnx needs more packages",
    )
    parser.add_argument("--out", type=Path, default=Path("export"), help="the folder to replace (default: export)")
    return parser.parse_args()


def refuse_other_folders(out: Path) -> None:
    """A folder is replaced as a whole, so it must be empty or a former export."""
    notes = out / NOTES
    is_export = notes.is_file() and notes.read_text(encoding="utf-8", errors="replace").startswith(TITLE)
    if out.exists() and not is_export and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} exists and is not an earlier export: give the name of a new folder")


def take_sample(stored: Stored, size: int) -> Sample:
    """Reads evenly chosen images, of those with an embedding that is not all zeros."""
    rows = np.flatnonzero(stored.embeddings.any(axis=1))
    if not len(rows):
        raise UserError(f"{EMBEDDINGS} holds only zeros, so an export cannot be checked: train another model")
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), CHECKED_IMAGES)).round().astype(int)]
    records = [stored.manifest.records[row] for row in rows]
    images = IMAGES
    loaded = (load_pixels(images / record.path, size, record.sha256) for record in records)
    pixels = np.stack(list(track(loaded, "read", len(records))))
    contents = [(images / record.path).read_bytes() for record in records]
    decodable = np.flatnonzero([exporting.is_decoded_alike(content) for content in contents])
    return Sample(contents, pixels, stored.embeddings[rows], decodable)


def check_saved_model(folder: Path, sample: Sample) -> Iterator[Check]:
    yield check(
        f"{SAVED_MODEL}, signature {exporting.PIXELS}",
        exporting.load_saved_model(folder, exporting.PIXELS),
        sample.pixels,
        sample.embeddings,
    )
    if len(sample.decodable):
        yield check(
            f"{SAVED_MODEL}, signature {exporting.BYTES}",
            exporting.load_saved_model(folder, exporting.BYTES),
            [sample.contents[i] for i in sample.decodable],
            sample.embeddings[sample.decodable],
        )


def check(artifact: str, run: exporting.Run, inputs: exporting.Batch, embeddings: np.ndarray) -> Check:
    progress = partial(track, label=artifact, unit=" batches")
    least = MIN_AGREEMENT[describe_extractor(EMBEDDER)["precision"]]
    return Check(artifact, len(inputs), exporting.lowest_cosine(run, inputs, embeddings, least, progress))


def inputs() -> list[tuple[str, str, str]]:
    """What the export is made from, with digests."""
    return [row for path in (MANIFEST, EMBEDDINGS, EMBEDDER) for row in digests(path, Path())]


if __name__ == "__main__":
    run_command(main)
