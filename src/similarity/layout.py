"""Where the files are that are searched with, below the root of a project."""

from pathlib import Path

_DATA, _MODELS = Path("data"), Path("models")
IMAGES = _DATA / "images"
ADDED = _DATA / "added"
MANIFEST = _DATA / "manifest.csv"
INDEX_MANIFEST = _MODELS / "manifest.csv"
"""The images that are indexed: those of `MANIFEST`, from which the model was made, with what was changed since."""
EMBEDDER = _MODELS / "embedder"
EMBEDDINGS = _MODELS / "embeddings.npy"
INVERTED_INDEX = _MODELS / "inverted-index.json"
ANN_INDEX = _MODELS / "index.ann"
ANN_SETTINGS = _MODELS / "index.json"
ANN_ROWS = _MODELS / "index-rows.npy"
REFERENCE = _MODELS / "reference.npz"
MAP = _MODELS / "map.npy"
LOOK_MAP = _MODELS / "map-look.npy"
SPLITS = _DATA / "splits.csv"
AUDIT = _DATA / "audit.csv"
RUN = _MODELS / "run.json"
SEALED = (
    INDEX_MANIFEST,
    EMBEDDER,
    EMBEDDINGS,
    INVERTED_INDEX,
    ANN_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    REFERENCE,
    MAP,
    LOOK_MAP,
    SPLITS,
    AUDIT,
)
"""What is searched with and told of, and what a run writes down the digests of in `RUN`: files, and a folder."""
