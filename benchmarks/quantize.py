"""Quantizes a graph of OpenVINO to whole numbers of 8 bits, for `precisions.py`: GRAPH PIXELS.npy OUT.xml.

It runs in an environment of its own: `python -m venv nncf && nncf/bin/pip install nncf openvino`.
"""

import sys

import nncf
import numpy as np
import openvino as ov

graph, pixels, out = sys.argv[1:]
calibration = nncf.Dataset(list(np.load(pixels)), lambda image: image[None])
model = ov.Core().read_model(graph)
ov.save_model(nncf.quantize(model, calibration, subset_size=len(np.load(pixels))), out, compress_to_fp16=False)
