"""Where the files are that are searched with, below the root of a project."""

from pathlib import Path

_DATA, _MODELS = Path("data"), Path("models")
IMAGES = _DATA / "images"
MANIFEST = _DATA / "manifest.csv"
EMBEDDER = _MODELS / "embedder"
EMBEDDINGS = _MODELS / "embeddings.npy"
INVERTED_INDEX = _MODELS / "inverted-index.json"
ANN_INDEX = _MODELS / "index.ann"
ANN_SETTINGS = _MODELS / "index.json"
REFERENCE = _MODELS / "reference.npz"
MAP = _MODELS / "map.npy"
LOOK_MAP = _MODELS / "map-look.npy"
SPLITS = _DATA / "splits.csv"
AUDIT = _DATA / "audit.csv"
RUN = _MODELS / "run.json"
SEALED = (
    MANIFEST,
    EMBEDDER,
    EMBEDDINGS,
    INVERTED_INDEX,
    ANN_INDEX,
    ANN_SETTINGS,
    REFERENCE,
    MAP,
    LOOK_MAP,
    SPLITS,
    AUDIT,
)
"""What is searched with and told of, and what a run writes down the digests of in `RUN`: files, and a folder."""
