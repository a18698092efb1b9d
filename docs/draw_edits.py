"""Draws `docs/edits.jpg`: a photograph that comes with scikit-learn, and the edits that `baselines` makes of it.

python docs/draw_edits.py
"""

import sys

from sklearn.datasets import load_sample_images

sys.path.insert(0, "src")

from similarity.data.images.pictures import Tile, draw_sheet
from similarity.data.images.pixels import EDITS, edit

pixels = load_sample_images().images[0]
tiles = [Tile(pixels, ["original"], None), *(Tile(edit(pixels, name), [name], None) for name in EDITS)]
draw_sheet([tiles]).save("docs/edits.jpg", quality=85)
