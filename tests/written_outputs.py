"""A few outputs, files and folders, and what they hold."""

from pathlib import Path

from similarity.files import Outputs

NAMES = ("a.json", "deep/b.npy", "folder", "other")
FOLDERS = NAMES[2:]


def write(text: str, journal: Path | None = None) -> None:
    """Writes new versions of all of them, below the current folder."""
    with Outputs(journal) as outputs:
        for name in NAMES:
            path = Path(name)
            (outputs.folder(path) / text if name in FOLDERS else outputs.file(path)).write_text(text, encoding="utf-8")
