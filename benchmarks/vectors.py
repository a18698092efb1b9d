"""What the benchmarks of neighbors search: the pipeline's embeddings, or generated vectors that resemble them."""

import argparse
import re

import numpy as np

import comparison  # noqa: F401  # finds the library
from similarity.layout import EMBEDDINGS

REAL = "real"
_FEWEST = 1000
_SPREAD = 0.5  # standard deviation within a cluster; that of the clusters' centers is 1
_DIRECTIONS = 12  # that clusters extend in: local intrinsic dimensionality is 8, as of the embeddings of photographs
_SHIFT = -0.2  # mean before the ReLU, so that more than half of the components are 0


def valid_source(text: str) -> str:
    """Check an argument that says which vectors to use; see `load`."""
    if text != REAL and not (re.fullmatch(r"\d+(x[1-9]\d*)?", text, re.ASCII) and int(text.split("x")[0]) >= _FEWEST):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither {REAL!r} nor a number of at least {_FEWEST}, with dimensions or without, as 30000x288"
        )
    return text


def add_sources(parser: argparse.ArgumentParser, default: list[str]) -> None:
    """Add positional arguments, in `sources`, that say which vectors to use; see `load`."""
    help_text = (
        f"{REAL} ({EMBEDDINGS}) or how many vectors to generate, as 30000 or 30000x288; default: {' '.join(default)}"
    )
    parser.add_argument("sources", nargs="*", type=valid_source, default=default, metavar="SOURCE", help=help_text)


def load(name: str) -> np.ndarray:
    """Load the pipeline's embeddings for "real", or generate vectors, as many as "30000" or "30000x288" says.

    Returns:
        float32 (n, d).

    Raises:
        FileNotFoundError: there are no embeddings yet.
    """
    return np.load(EMBEDDINGS) if name == REAL else generate(*map(int, name.split("x")))


def describe(name: str, shape: tuple[int, ...]) -> str:
    """Describe what is searched, as "29,998 × 32 embeddings"."""
    return f"{shape[0]:,} × {shape[1]} {'embeddings' if name == REAL else 'generated'}"


def generate(count: int, dimensions: int = 32, seed: int = 0) -> np.ndarray:
    """Draw vectors like those of a ReLU layer: √count clusters, no component negative, more than half of them 0.

    Returns:
        float32 (count, dimensions).
    """
    rng = np.random.default_rng(seed)
    clusters = round(count**0.5)
    centers = rng.standard_normal((clusters, dimensions), np.float32) + np.float32(_SHIFT)
    directions = rng.standard_normal((_DIRECTIONS, dimensions), np.float32) * np.float32(_SPREAD / _DIRECTIONS**0.5)
    vectors = rng.standard_normal((count, _DIRECTIONS), np.float32) @ directions
    vectors += centers[rng.integers(clusters, size=count)]
    return np.maximum(vectors, 0, out=vectors)
