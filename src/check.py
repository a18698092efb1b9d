"""Checks what a run begins with, before DVC does: the parameters, DVC's own files, and the source of the images.

A typing error is told at once, and so is what DVC would read for ever. What killed runs have left is removed.
"""

from pipeline.dvc_files import check_dvc_files
from pipeline.paths import ADDED, BASE, DATA, LEARNED_IMAGES, METRICS, MODELS, PENDING, PLOTS
from pipeline.stage import run_command

from pathlib import Path

from similarity.params import load_params
from similarity.replacing import remove_left_behind
from similarity.sources.folders import check_source

WRITTEN = (DATA, PENDING.parent, MODELS, BASE, METRICS, PLOTS)


def main() -> None:
    source = load_params().data.source
    check_dvc_files()
    check_source(Path(source))
    for folder in (*WRITTEN, *ADDED.glob("*"), *LEARNED_IMAGES.glob("*")):
        remove_left_behind(folder)


if __name__ == "__main__":
    run_command(main)
