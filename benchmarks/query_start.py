"""How long `query.py` takes from its start, for a key and for a photograph, compared with the least that it must do.

    python benchmarks/query_start.py [--rounds 10] [--output FILE]

The bare program imports NumPy, Pillow and OpenVINO, compiles the backbone's graph, decodes the photograph, runs the
graph once and multiplies all embeddings by a vector; it checks nothing. All take turns, each in a process of its own.
"""

import subprocess
import sys

from comparison import Row, as_table, make_parser, median_seconds, publish, run_command
from similarity.data.dataset.manifest import read_manifest
from similarity.layout import EMBEDDINGS, IMAGES, MANIFEST

BARE_KEY = "import orjson"
BARE_PHOTOGRAPH = """
import sys
import numpy as np, openvino as ov
from PIL import Image
core = ov.Core()
graph = core.read_model("models/backbone/graph.xml")
graph.reshape([1, *graph.inputs[0].partial_shape[1:]])
compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
size = graph.inputs[0].partial_shape[1].get_length()
image = Image.open(sys.argv[1])
image.draft("RGB", (2 * size, 2 * size))
compiled([np.asarray(image.convert("RGB").resize((size, size)), np.float32)[None]])
embeddings = np.load(sys.argv[2])
embeddings @ embeddings[0]
"""


def main() -> None:
    arguments = make_parser(__doc__, rounds=10).parse_args()
    keys = read_manifest(MANIFEST).keys
    photograph = IMAGES / keys[0]
    content = photograph.read_bytes()
    commands = {
        "key": ("src/query.py", keys[0]),
        "photograph": ("src/query.py", "-"),
        "bare key": ("-c", BARE_KEY),
        "bare photograph": ("-c", BARE_PHOTOGRAPH, str(photograph), str(EMBEDDINGS)),
    }
    contenders = {name: lambda command=command: run(command, content) for name, command in commands.items()}
    seconds = median_seconds(contenders, arguments.rounds)
    rows = []
    for name in ("key", "photograph"):
        ours, bare = seconds[name], seconds[f"bare {name}"]
        rows.append(Row(f"query.py {name} among {len(keys):,} images", f"{ours:.2f} s", f"{bare:.2f} s", ours / bare))
    publish(as_table(rows), "From the start of query.py to its answer", arguments.output)


def run(command: tuple[str, ...], content: bytes) -> None:
    subprocess.run((sys.executable, *command), input=content, capture_output=True, check=True)


if __name__ == "__main__":
    run_command(main)
