"""Checks what a run begins with, before DVC does: the parameters, DVC's own files, and the source of the images.

A typing error is told at once, and so is what DVC would read for ever.
"""

from pipeline.dvc_files import check_dvc_files
from pipeline.stage import run_command

from pathlib import Path

from similarity.params import load_params
from similarity.sources.folders import check_source


def main() -> None:
    source = load_params().data.source
    check_dvc_files()
    check_source(Path(source))


if __name__ == "__main__":
    run_command(main)
