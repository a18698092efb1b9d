"""Writing down which files are of one run."""

from pipeline.paths import RUN, SEALED

from pathlib import Path

from similarity.digests import digest_files
from similarity.files import Outputs, write_json_entries


def write_seal(outputs: Outputs) -> int:
    """Writes down the digests of all that is searched with, of new versions where there are any; gives their number."""
    places = {str(outputs.current(path)): str(path) for path in SEALED}
    digests = {places.get(path, path): digest for path, digest in digest_files(map(Path, places)).items()}
    write_json_entries(outputs.file(RUN), digests.items())
    return len(digests)
