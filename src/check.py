"""Prepare a run: `python src/check.py` finds what would stop it, or lose files, before DVC removes any result."""

from pipeline.inputs import check_dvc_files, list_unknown, load_params
from pipeline.stage import counted, only_stage, run_command

import subprocess
from pathlib import Path

from similarity.data.files import remove_leftovers
from similarity.data.sources.folders import check_source, list_files
from similarity.data.sources.label_tables import list_shards, read_corrections, write_corrections
from similarity.data.sources.layouts import plan_layout
from similarity.errors import UserError
from similarity.layout import CORRECTIONS, DATA, DETAILS, IMAGES, METRICS, MODELS, PLOTS
from similarity.params import DataParams


def main() -> None:
    params = load_params()
    check_dvc_files()
    backbone = params.backbone
    for name, path in [("name", backbone.name)] * backbone.is_onnx + [("weights", backbone.weights)]:
        if path != "imagenet" and not Path(path).is_file():
            raise UserError(f"params.yaml: backbone.{name}: there is no file {path}")
    _check_source(params.data)
    if not CORRECTIONS.exists():  # DVC needs it
        write_corrections(CORRECTIONS, {})
    with only_stage():
        for folder in (DATA, MODELS, METRICS, DETAILS, PLOTS):
            remove_leftovers(folder)
        unknown = list_unknown(IMAGES, list_files(IMAGES) if IMAGES.is_dir() else [])
    if unknown:
        raise UserError(
            f"{IMAGES} is generated, and has {counted(len(unknown), 'file')} that DVC does not know and would remove, "
            f"such as {str(unknown[0])!r}: move your own files elsewhere, set data.source to their folder, and remove "
            f"what is left of {IMAGES}"
        )


def _check_source(data: DataParams) -> None:
    source, corrections = Path(data.source), read_corrections(CORRECTIONS)
    files = check_source(source)
    for made in (IMAGES.resolve(), MODELS.resolve(), METRICS.resolve()):
        if made.is_relative_to(source.resolve()) or source.resolve().is_relative_to(made):
            raise UserError(f"data.source: {source} has, or is in, what the pipeline makes: move your images elsewhere")
    if source.is_dir() and not list_shards(source, files):
        plan_layout(source, files, data, {}, corrections)
    if not source.is_absolute() and not Path(f"{source}.dvc").exists():
        command = ["git", "ls-files", "--stage", "--", str(source)]
        tracked = subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout
        if not tracked or tracked.startswith("160000"):  # nothing, or a submodule
            print(f"note: git does not keep {source}, so experiments with --queue or --temp need its absolute path")


if __name__ == "__main__":
    run_command(main)
