"""Where the pipeline's files are, below the root of the repository."""

import os
from pathlib import Path

DATA = Path("data")
IMAGES = DATA / "images"
LEFT_OUT = DATA / "left-out.csv"
LEFT_OUT_COLUMNS = ("path", "reason")
REJECTED = DATA / "rejected.csv"
REJECTED_COLUMNS = ("path", "reason")
MANIFEST = DATA / "manifest.csv"
THUMBNAILS = DATA / "thumbnails.npy"
HISTOGRAMS = DATA / "histograms.npy"
PREVIEWS = DATA / "previews"
VARIANTS = DATA / "variants"
PROBLEMS = DATA / "problems.txt"
REMARKS = DATA / "remarks.csv"
REMARKS_COLUMNS = ("path", "remark")
SPLITS = DATA / "splits.csv"
BACKBONE = Path("models/backbone")
FEATURES = DATA / "features.npy"
HEAD = Path("models/best.weights.h5")
VISUAL_PART = Path("models/visual.npz")
EMBEDDER = Path("models/embedder")
EMBEDDINGS = Path("models/embeddings.npy")
INVERTED_INDEX = Path("models/inverted-index.json")
ANN_INDEX = Path("models/index.ann")
ANN_SETTINGS = Path("models/index.json")
REFERENCE = Path("models/reference.npz")
DUPLICATES = DATA / "duplicates.csv"
AUDIT = DATA / "audit.csv"
MAP = Path("models/map.npy")
RUN = Path("models/run.json")
METRICS = Path("metrics")
PLOTS = METRICS / "plots"
QUERY_SCORES = DATA / "query_scores.csv"
QUERY_SCORES_COLUMNS = ("path", "correct", "p_at_1", "p_at_10", "map_at_r")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "image-similarity")  # noqa: PTH111  # pathlib's raises where there is no home
