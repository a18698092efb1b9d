"""Telling whether files are of one run; it imports little, as a key is answered at once."""

from pipeline.paths import (
    ANN_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    AUDIT,
    EMBEDDER,
    EMBEDDINGS,
    INDEX_MANIFEST,
    INVERTED_INDEX,
    LOOK_MAP,
    MAP,
    REFERENCE,
    RUN,
    SPLITS,
)

import errno
from pathlib import Path

import orjson

from similarity.digests import digest_files
from similarity.errors import UserError
from similarity.files import Outputs, write_json_entries

SEALED = (
    INDEX_MANIFEST,
    EMBEDDER,
    EMBEDDINGS,
    INVERTED_INDEX,
    ANN_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    REFERENCE,
    MAP,
    LOOK_MAP,
    SPLITS,
    AUDIT,
)
"""What is searched with and told of: files, and a folder."""


def check_run(*paths: Path) -> None:
    """Makes sure that files are as the last whole run left them: not damaged, and not of different runs.

    Their digests are compared with those in `models/run.json`, which a run writes last.

    Args:
        paths: of files, or of folders, all of whose files are checked.

    Raises:
        FileNotFoundError: one is not there.
        UserError: one is another.
    """
    sealed, found = _read_seal(), digest_files(paths)
    folders = tuple(f"{path}/" for path in paths)
    if missing := [path for path in sealed if path.startswith(folders) and path not in found]:
        raise FileNotFoundError(errno.ENOENT, "missing", missing[0])
    for path, digest in found.items():
        if sealed.get(path) != digest:
            raise UserError(
                f"{path} is not as the run left it that {RUN} is of: it is damaged, or from another run, or a run is "
                "not finished: run `dvc repro`, or `dvc checkout` to go back to the last one"
            )


def write_seal(outputs: Outputs) -> int:
    """Writes down the digests of all that is searched with, of new versions where there are any; gives their number."""
    places = {str(outputs.current(path)): str(path) for path in SEALED}
    digests = {places.get(path, path): digest for path, digest in digest_files(map(Path, places)).items()}
    write_json_entries(outputs.file(RUN), digests.items())
    return len(digests)


def _read_seal() -> dict[str, str]:
    """The digests of the files of a run, by their paths."""
    try:
        sealed = orjson.loads(RUN.read_bytes())
        return {str(path): str(digest) for path, digest in sealed.items()}
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise UserError(f"{RUN} is damaged: run `dvc checkout`, or `dvc repro`") from error
