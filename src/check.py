"""Prepare a run: `python src/check.py` checks the parameters, DVC's own files and the source, and removes leftovers."""

from pipeline.dvc_files import check_dvc_files
from pipeline.stage import only_stage, run_command

from pathlib import Path

from similarity.data.files import remove_leftovers
from similarity.data.sources.folders import check_source
from similarity.layout import DATA, DETAILS, METRICS, MODELS, PLOTS
from similarity.params import load_params


def main() -> None:
    source = load_params().data.source
    check_dvc_files()
    check_source(Path(source))
    with only_stage():
        for folder in (DATA, MODELS, METRICS, DETAILS, PLOTS):
            remove_leftovers(folder)


if __name__ == "__main__":
    run_command(main)
