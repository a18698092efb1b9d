"""Draws `docs/edits.jpg`: a photograph that comes with scikit-learn, and what `evaluate` changes it into."""

import sys

from sklearn.datasets import load_sample_images

sys.path.insert(0, "src")

from similarity.images.changes import CHANGES, change
from similarity.pictures.sheets import Tile, draw_sheet

pixels = load_sample_images().images[0]
tiles = [Tile(pixels, ["original"], None), *(Tile(change(pixels, name), [name], None) for name in CHANGES)]
draw_sheet([tiles], query_apart=False).save("docs/edits.jpg", quality=85)
