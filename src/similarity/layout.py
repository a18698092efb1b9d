"""Where the files of a project are, below its root."""

from pathlib import Path

DATA, MODELS = Path("data"), Path("models")
IMAGES = DATA / "images"
LEFT_OUT = DATA / "left-out.csv"
CORRECTIONS = DATA / "corrections.csv"
GIVEN_SPLITS = DATA / "given-splits.csv"
PROBLEMS = DATA / "problems.txt"
MANIFEST = DATA / "manifest.csv"
"""The rows and keys of all images, in the order that every other file has them."""
RANGES = DATA / "ranges.json"
"""The samples that are black and white in images of more than 8 bits."""
SCAN = DATA / "scan"
REJECTED = SCAN / "rejected.csv"
REMARKS = SCAN / "remarks.csv"
THUMBNAILS = SCAN / "thumbnails.npy"
HISTOGRAMS = SCAN / "histograms.npy"
PREVIEWS = SCAN / "previews"
DUPLICATES = SCAN / "duplicates.csv"
SPLITS = DATA / "splits.csv"
BACKBONE = MODELS / "backbone"
FEATURES = DATA / "features.npy"
HEAD = MODELS / "best.weights.h5"
NOVEL_CLASSES = MODELS / "novel-classes.npz"
EMBEDDER = MODELS / "embedder"
EMBEDDINGS = MODELS / "embeddings.npy"
EMBEDDINGS_JSON = MODELS / "embeddings.json"
MAP = MODELS / "map.npz"
INVERTED_INDEX = MODELS / "inverted-index.json"
ANN_INDEX = MODELS / "index.ann"
ANN_SETTINGS = MODELS / "index.json"
ANN_INVERTED_INDEX = MODELS / "ann-inverted-index.json"
NOVELTY = MODELS / "novelty.npz"
EDITS = DATA / "edits"
FINDINGS = DATA / "findings.csv"
METRICS = Path("metrics")
DETAILS = METRICS / "details"
PLOTS = METRICS / "plots"
HISTORY = METRICS / "history.csv"
QUERY_SCORES = DETAILS / "query_scores.csv"
QUERY_SCORES_COLUMNS = (
    "path", "split", "correct", "p_at_1", "p_at_10", "map_at_r", "unseen_p_at_10", "unseen_map_at_r",
)  # fmt: skip
QUERY_NEIGHBORS = DETAILS / "query_neighbors.csv"
QUERY_NEIGHBORS_COLUMNS = ("path", "neighbor", "cosine")
REPORT = METRICS / "report.html"
