"""Where the pipeline's files are, below the root of the repository."""

import os
from pathlib import Path

DATA = Path("data")
IMAGES = DATA / "images"
REJECTED = DATA / "rejected.csv"
REJECTED_COLUMNS = ("path", "reason")
MANIFEST = Path("data/manifest.csv")
SPLITS = Path("data/splits.csv")
BACKBONE = Path("models/backbone")
FEATURES = Path("data/features.npy")
HEAD = Path("models/best.weights.h5")
EMBEDDINGS = Path("models/embeddings.npy")
INVERTED_INDEX = Path("models/inverted-index.json")
ANN_INDEX = Path("models/index.ann")
ANN_SETTINGS = Path("models/index.json")
THRESHOLD = Path("models/threshold.json")
NEAR_DUPLICATES = Path("data/near_duplicates.csv")
EXAMINED = Path("data/examined.csv")
MAP = Path("models/map.npy")
METRICS = Path("metrics")
PLOTS = METRICS / "plots"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "image-similarity")  # noqa: PTH111  # pathlib's raises where there is no home
