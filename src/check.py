"""Checks params.yaml, and nothing else: a typing error is reported before DVC begins."""

from pipeline.stage import run_command
from similarity.params import load_params

if __name__ == "__main__":
    run_command(load_params)
