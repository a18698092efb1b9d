"""Checks what a run begins with, before DVC does: a typing error in params.yaml is told at once."""

from pipeline.dvc_files import check_dvc_files
from pipeline.stage import run_command

from similarity.params import load_params


def main() -> None:
    load_params()
    check_dvc_files()


if __name__ == "__main__":
    run_command(main)
