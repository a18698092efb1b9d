"""Checks params.yaml, and nothing else: a typing error is told before DVC begins."""

from pipeline.stage import run

if __name__ == "__main__":
    run(lambda _: None)
