import sys

# OpenVINO's telemetry would look up Google Analytics at every import, and leave a client id in the home folder. Without
# that package OpenVINO takes a stub of its own. It is imported in this package only.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # what `import` takes for "not there"
