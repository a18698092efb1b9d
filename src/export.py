"""Export the model, from pixels to embeddings, for other programs: `python src/export.py --format all`.

Nothing is left in the folder that was not loaded again and found to give the stored embeddings of indexed images.
"""

from pipeline.inputs import load_params
from pipeline.stage import run_command, track

import argparse
from pathlib import Path

import numpy as np

from similarity.data.dataset.manifest import read_manifest
from similarity.data.features.computing import load_pixels
from similarity.data.features.extractor import MIN_AGREEMENT, describe, load_keras_backbone, lowest_cosine
from similarity.data.files import Outputs
from similarity.data.images.wide import read_ranges
from similarity.embedding.embedder import load_embedding_model
from similarity.engine.dvc_lock import DvcLock
from similarity.errors import UserError
from similarity.exporting import build_model, export_onnx, export_saved_model, read_notes, require_onnx
from similarity.layout import EMBEDDER, EMBEDDINGS, IMAGES, MANIFEST, RANGES

NOTES, TITLE = "README.md", "# Exported embedding model"
CHECKED_IMAGES = 100
EXPORTERS = {"saved_model": ("saved_model", export_saved_model), "onnx": ("model.onnx", export_onnx)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="export.py", description="Export the model for other programs.")
    parser.add_argument("--format", choices=(*EXPORTERS, "all"), default="saved_model",
        help="default: saved_model; onnx needs more packages")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("export"), help="the folder to replace (default: export)")
    arguments = parser.parse_args()
    if arguments.format != "saved_model":
        require_onnx()
    out = arguments.out.resolve()
    refuse_other_folders(out)
    DvcLock(Path()).check(MANIFEST, EMBEDDINGS, EMBEDDER)
    weights, description = load_params().backbone.weights, describe(EMBEDDER)
    if description["name"].lower().endswith(".onnx"):
        raise UserError(
            f"the backbone is {description['name']}, which Keras cannot export; {EMBEDDER} holds all that other "
            "programs need, with OpenVINO (docs/how-to/export.md)"
        )
    pixels, embeddings = take_sample(description["image_size"])
    from similarity.data.quiet import prepare_tensorflow

    prepare_tensorflow()
    model = build_model(load_keras_backbone(EMBEDDER, weights), load_embedding_model(EMBEDDER))
    formats = list(EXPORTERS) if arguments.format == "all" else [arguments.format]
    with Outputs() as outputs:
        folder = outputs.folder(out)
        for name, export in (EXPORTERS[each] for each in formats):
            run = export(model, folder / name)
            lowest = lowest_cosine(np.concatenate([run(image[None]) for image in track(pixels, name)]), embeddings)
            if not lowest >= (least := MIN_AGREEMENT[description["engine"]]):
                raise UserError(
                    f"the exported model does not give the stored embeddings of indexed images (cosine {lowest:.4f}, "
                    f"at least {least} is needed), so nothing was exported: run `dvc repro`, and make sure that "
                    f"backbone.weights ({weights}) is the file that models/backbone was made from"
                )
            print(f"{name}: {len(pixels)} indexed images checked, lowest cosine {lowest:.7f}")
        text = read_notes(description["image_size"], embeddings.shape[1])
        (folder / NOTES).write_text(text, encoding="utf-8")
    print(f"{arguments.out} holds the model, its {NOTES} says how to use it")


def refuse_other_folders(out: Path) -> None:
    """Refuse to replace a folder, which is done as a whole, unless it is empty or an earlier export."""
    notes = out / NOTES
    is_export = notes.is_file() and notes.read_text(encoding="utf-8", errors="replace").startswith(TITLE)
    if out.exists() and not is_export and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} exists and is not an earlier export: give the name of a new folder")


def take_sample(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose images evenly among those with an embedding: their pixels, (n, size, size, 3), and embeddings, (n, E)."""
    stored = np.load(EMBEDDINGS)
    rows = np.flatnonzero(stored.any(axis=1))
    if not len(rows):
        raise UserError(f"{EMBEDDINGS} holds only zeros, so an export cannot be checked: train another model")
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), CHECKED_IMAGES)).round().astype(int)]
    manifest = read_manifest(MANIFEST)
    records, ranges = [manifest.records[row] for row in rows], read_ranges(RANGES)
    loaded = (load_pixels(IMAGES / record.path, size, record.sha256, ranges) for record in records)
    return np.stack(list(track(loaded, "read", len(records)))), stored[rows]


if __name__ == "__main__":
    run_command(main)
