"""Makes `docs/neighbors.jpg` for the README from the query rows that the stage `evaluate` drew on the demo set.

python docs/stack_query_rows.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

ROWS = (1, 4, 5, 6, 8, 10)  # each class once

paths = [Path(f"metrics/plots/queries/query_{row:02d}.png") for row in ROWS]
stacked = np.concatenate([np.asarray(Image.open(path)) for path in paths])
Image.fromarray(stacked).save("docs/neighbors.jpg", quality=85)
