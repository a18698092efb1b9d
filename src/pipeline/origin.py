"""What results were made from, so that none is used with another model or other images."""

from pipeline.paths import MANIFEST

from hashlib import sha256
from pathlib import Path

from similarity.features.extractor import backbone_digest


def describe_origin(folder: Path) -> str:
    """Names the backbone in a folder and the indexed images by digests.

    Raises:
        FileNotFoundError: the pipeline has not run.
    """
    return f"backbone {backbone_digest(folder)}, images {sha256(MANIFEST.read_bytes()).hexdigest()}"
