import os

# Where it can, ONNX Runtime reports how it is used. It also keeps that in the home folder until then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
