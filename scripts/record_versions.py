"""Write src/similarity/data/versions.yaml: the pinned versions of the libraries that decide results.

`make pins` runs it. The file is part of a package that every stage depends on, so an upgrade reruns the stages.
"""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "annoy", "faiss-cpu", "h5py", "keras", "numpy", "openvino", "pillow", "scikit-learn", "scipy", "tensorflow",
)  # fmt: skip
HEADER = (
    "# Pinned versions, several where Python versions differ; scripts/record_versions.py writes this from the pins.\n"
)


def pinned_versions(requirements: str) -> dict[str, str]:
    """The versions of `PACKAGES`, of which there may be several, for different versions of Python."""
    found = {name: re.findall(rf"^{re.escape(name)}==([^ \\]+)", requirements, re.MULTILINE) for name in PACKAGES}
    return {name: " or ".join(versions) for name, versions in found.items()}


if __name__ == "__main__":
    pins = pinned_versions((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    (ROOT / "src/similarity/data/versions.yaml").write_text(HEADER + yaml.safe_dump(pins), encoding="utf-8")
