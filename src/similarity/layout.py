"""Where the files of a project are, below its root."""

from pathlib import Path

_DATA, _MODELS = Path("data"), Path("models")
IMAGES = _DATA / "images"
LEFT_OUT = _DATA / "left-out.csv"
LEFT_OUT_COLUMNS = ("path", "reason")
GIVEN_SPLITS = _DATA / "given-splits.csv"
PROBLEMS = _DATA / "problems.txt"
MANIFEST = _DATA / "manifest.csv"
"""The rows and keys of all images, in the order that every other file has them."""
SCAN = _DATA / "scan"
REJECTED = SCAN / "rejected.csv"
REJECTED_COLUMNS = ("path", "reason")
REMARKS = SCAN / "remarks.csv"
REMARKS_COLUMNS = ("path", "remark")
THUMBNAILS = SCAN / "thumbnails.npy"
HISTOGRAMS = SCAN / "histograms.npy"
PREVIEWS = SCAN / "previews"
DUPLICATES = SCAN / "duplicates.csv"
SPLITS = _DATA / "splits.csv"
BACKBONE = _MODELS / "backbone"
FEATURES = _DATA / "features.npy"
HEAD = _MODELS / "best.weights.h5"
EMBEDDER = _MODELS / "embedder"
EMBEDDINGS = _MODELS / "embeddings.npy"
EMBEDDINGS_JSON = _MODELS / "embeddings.json"
MAP = _MODELS / "map.npz"
INVERTED_INDEX = _MODELS / "inverted-index.json"
ANN_INDEX = _MODELS / "index.ann"
ANN_SETTINGS = _MODELS / "index.json"
ANN_INVERTED_INDEX = _MODELS / "ann-inverted-index.json"
NOVELTY = _MODELS / "novelty.npz"
EDITS = _DATA / "edits"
FINDINGS = _DATA / "findings.csv"
METRICS = Path("metrics")
DETAILS = METRICS / "details"
PLOTS = METRICS / "plots"
HISTORY = METRICS / "history.csv"
QUERY_SCORES = DETAILS / "query_scores.csv"
QUERY_SCORES_COLUMNS = ("path", "correct", "p_at_1", "p_at_10", "map_at_r")
REPORT = METRICS / "report.html"
