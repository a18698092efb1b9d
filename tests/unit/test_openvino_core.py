"""What engines do to the process and the machine that they run on."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from similarity.data.features.extractor import load_extractor, save_extractor

import gc, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

folder, pixels = Path(sys.argv[1]), ops.parameter([-1, 8, 8, 3], np.float32)
graph = ov.Model([ops.result(ops.reduce_mean(pixels, np.array([1, 2])))], [pixels])
save_extractor(folder, graph, "means", "openvino", [])
engines = [load_extractor(folder, (1,), throughput) for throughput in (False, True)]
for engine in engines:
    list(ThreadPoolExecutor(2).map(engine, np.zeros((20, 1, 8, 8, 3), np.float32)))
threads = [int(name) for name in os.listdir("/proc/self/task")]
assert len(threads) > 1
assert all(os.sched_getaffinity(each) == os.sched_getaffinity(0) for each in threads)
del engine
while engines:
    del engines[0]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_engines_bind_no_thread_to_a_core_and_leave_signals_handled_in_whatever_order_they_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=Path(__file__).parents[2] / "src",
        check=False, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
