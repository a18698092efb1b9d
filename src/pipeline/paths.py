"""Where the pipeline's files are, below the root of the repository."""

import os
from pathlib import Path

from similarity.layout import (  # noqa: F401  # which the scripts take from here as all others
    ANN_INDEX,
    ANN_SETTINGS,
    AUDIT,
    EMBEDDER,
    EMBEDDINGS,
    IMAGES,
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
DUPLICATES = DATA / "duplicates.csv"
METRICS = Path("metrics")
PLOTS = METRICS / "plots"
REPORT = METRICS / "report.html"
QUERY_SCORES = DATA / "query_scores.csv"
QUERY_SCORES_COLUMNS = ("path", "correct", "p_at_1", "p_at_10", "map_at_r")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "image-similarity")  # noqa: PTH111  # pathlib's raises where there is no home
