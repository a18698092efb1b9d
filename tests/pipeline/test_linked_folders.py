"""Folders that are linked, not copied: the results are the same, and the originals stay as they are."""

from pathlib import Path

import pytest

from projects import Project
from samples import write_wares

CLASSES = ("bowl", "jug", "vase")


def facts(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return the mode of each file, its number of links, when it was changed, and its content."""
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(path): (fact.st_mode, fact.st_nlink, fact.st_mtime_ns, path.read_bytes()) for path, fact in found.items()
    }


@pytest.mark.parametrize(
    ("types", "links", "note"),
    [("reflink,hardlink,copy", 2, False), ("hardlink", 2, False), ("copy", 1, True)],
)
def test_linking_gives_what_copying_gives_and_leaves_the_originals_alone(
    project: Project, tmp_path: Path, types: str, links: int, note: bool
) -> None:
    wares = write_wares(tmp_path / "wares", CLASSES, 3)
    (wares / "jug" / "000.png").chmod(0o664)
    before = facts(wares)
    project.set_params(data={"source": str(wares)})
    project.run("python", "src/fetch.py")
    copied = project.contents("data/images/*/*", "data/left-out.csv", "data/given-splits.csv")
    project.run("dvc", "config", "cache.type", types)
    project.set_params(data={"mode": "link"})
    printed = project.run("dvc", "repro", "fetch")
    assert ("DVC will replace the links by copies" in printed) == note
    assert project.contents("data/images/*/*", "data/left-out.csv", "data/given-splits.csv") == copied
    image = project.folder / "data/images/jug/000.png"
    assert image.stat().st_nlink == links  # with DVC's cache
    assert not image.samefile(wares / "jug" / "000.png")
    assert facts(wares) == before
