"""Where the pipeline's files are, below the root of the repository."""

import os
from pathlib import Path

from similarity.layout import (  # noqa: F401  # which the scripts take from here as all others
    ADDED,
    ANN_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    AUDIT,
    EMBEDDER,
    EMBEDDINGS,
    IMAGES,
    INDEX_MANIFEST,
    INVERTED_INDEX,
    LOOK_MAP,
    MANIFEST,
    MAP,
    REFERENCE,
    RUN,
    SEALED,
    SPLITS,
)

DATA = Path("data")
LEARNED_IMAGES = DATA / "learned"
PENDING = DATA / "changes" / "pending.csv"
LEARNED = DATA / "changes" / "learned.csv"
LEFT_OUT = DATA / "left-out.csv"
LEFT_OUT_COLUMNS = ("path", "reason")
GIVEN_SPLITS = DATA / "given-splits.csv"
REJECTED = DATA / "rejected.csv"
REJECTED_COLUMNS = ("path", "reason")
THUMBNAILS = DATA / "thumbnails.npy"
HISTOGRAMS = DATA / "histograms.npy"
PREVIEWS = DATA / "previews"
VARIANTS = DATA / "variants"
PROBLEMS = DATA / "problems.txt"
REMARKS = DATA / "remarks.csv"
REMARKS_COLUMNS = ("path", "remark")
LEAKS = DATA / "leaks.csv"
MODELS = Path("models")
BACKBONE = MODELS / "backbone"
FEATURES = DATA / "features.npy"
HEAD = MODELS / "best.weights.h5"
VISUAL_PART = MODELS / "visual.npz"
BASE = MODELS / "base"
"""Of the images that the model was learned from; all else in `models/` is of what was added and removed since, too."""
BASE_EMBEDDINGS = BASE / "embeddings.npy"
BASE_NEIGHBORS = BASE / "neighbors.npz"
BASE_ANN_NEIGHBORS = BASE / "ann-neighbors.npz"
BASE_MAP = BASE / "map.npy"
BASE_LOOK_MAP = BASE / "map-look.npy"
BASE_REFERENCE = BASE / "reference.npz"
BASE_REFERENCE_ROWS = BASE / "reference-rows.npy"
ANN_INVERTED_INDEX = MODELS / "ann-inverted-index.json"
DUPLICATES = DATA / "duplicates.csv"
METRICS = Path("metrics")
PLOTS = METRICS / "plots"
REPORT = METRICS / "report.html"
QUERY_SCORES = DATA / "query_scores.csv"
QUERY_SCORES_COLUMNS = ("path", "correct", "p_at_1", "p_at_10", "map_at_r")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "image-similarity")  # noqa: PTH111  # pathlib's raises where there is no home
