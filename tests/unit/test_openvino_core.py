"""Engines that come and go leave the process fit to be told to end."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from similarity.features.extractor import load_engines

import gc, os, signal, sys
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

pixels = ops.parameter([-1, 8, 8, 3], np.float32)
ov.save_model(ov.Model([ops.result(ops.relu(pixels))], [pixels]), sys.argv[1])
engines = [load_engines(Path(sys.argv[1]), (1,), "f32", throughput=False) for _ in range(2)]
while engines:
    del engines[0]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_is_handled_after_the_first_of_two_engines_has_ended_first(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "graph.xml")], cwd=source, check=False, capture_output=True,
        encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
