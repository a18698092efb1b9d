"""What engines do to the process and the machine that they run on, each tried in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

LOADING = """
from similarity.data.features.graphs import load_engines

import gc, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

graph = Path(sys.argv[1])
pixels = ops.parameter([-1, 8, 8, 3], np.float32)
ov.save_model(ov.Model([ops.result(ops.relu(pixels))], [pixels]), graph)

def load(throughput=False):
    return load_engines(graph, "openvino", (1,), throughput)
"""
ENDING_THE_FIRST_FIRST = """
engines = [load() for _ in range(2)]
while engines:
    del engines[0]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
"""
COMPUTING = """
engines = [load(throughput)[1] for throughput in (False, True)]
for engine in engines:
    list(ThreadPoolExecutor(2).map(engine, np.zeros((20, 1, 8, 8, 3), np.float32)))
threads = [int(name) for name in os.listdir("/proc/self/task")]
assert len(threads) > 1
print("anywhere" if all(os.sched_getaffinity(each) == os.sched_getaffinity(0) for each in threads) else "bound")
"""


@pytest.mark.parametrize(
    ("script", "expected"), [(ENDING_THE_FIRST_FIRST, "handled"), (COMPUTING, "anywhere")], ids=["signal", "cores"]
)
def test_engines_leave_signals_handled_and_bind_no_thread_to_a_core(tmp_path: Path, script: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADING + script, str(tmp_path / "graph.xml")], cwd=Path(__file__).parents[2] / "src",
        check=False, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr
