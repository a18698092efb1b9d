"""Check the parameters, DVC's own files and the source of the images before DVC starts: `python src/check.py`."""

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
