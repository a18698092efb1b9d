"""Runs the cells of `docs/tutorials/python.ipynb` on the current data set; what is in git was run on the demo set.

python docs/run_notebook.py
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path("docs/tutorials/python.ipynb")

notebook = nbformat.read(NOTEBOOK, as_version=4)
NotebookClient(notebook, kernel_name="python3", record_timing=False, resources={"metadata": {"path": "docs"}}).execute()
notebook.metadata = {"language_info": {"name": "python"}}  # nothing of this machine
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        if "image/jpeg" in output.get("data", {}):  # Pillow gives both, and a PNG is five times as large
            output.data.pop("image/png", None)
nbformat.write(notebook, NOTEBOOK)
