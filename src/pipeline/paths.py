"""Where the pipeline's files are, below the root of the repository."""

import os
from pathlib import Path

from similarity.layout import (
    ANN_INDEX as ANN_INDEX,
)
from similarity.layout import (
    ANN_SETTINGS as ANN_SETTINGS,
)
from similarity.layout import (
    AUDIT as AUDIT,
)
from similarity.layout import (
    EMBEDDER as EMBEDDER,
)
from similarity.layout import (
    EMBEDDINGS as EMBEDDINGS,
)
from similarity.layout import (
    IMAGES as IMAGES,
)
from similarity.layout import (
    INVERTED_INDEX as INVERTED_INDEX,
)
from similarity.layout import (
    LOOK_MAP as LOOK_MAP,
)
from similarity.layout import (
    MANIFEST as MANIFEST,
)
from similarity.layout import (
    MAP as MAP,
)
from similarity.layout import (
    REFERENCE as REFERENCE,
)
from similarity.layout import (
    RUN as RUN,
)
from similarity.layout import (
    SEALED as SEALED,
)
from similarity.layout import (
    SPLITS as SPLITS,
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
