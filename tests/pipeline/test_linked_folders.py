"""Hard links to DVC's cache: one copy less of the images, and the originals stay as they are."""

from pathlib import Path

from projects import Project
from samples import write_wares


def facts(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return the mode of each file, its number of links, when it was changed, and its content."""
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(path): (fact.st_mode, fact.st_nlink, fact.st_mtime_ns, path.read_bytes()) for path, fact in found.items()
    }


def test_hard_links_give_what_copies_give_and_leave_the_originals_alone(project: Project, tmp_path: Path) -> None:
    wares = write_wares(tmp_path / "wares", ("bowl", "jug", "vase"), 3)
    (wares / "jug" / "000.png").chmod(0o664)
    before = facts(wares)
    project.set_params(data={"source": str(wares)})
    project.run("python", "src/fetch.py")
    copied = project.contents("data/images/*/*", "data/left-out.csv", "data/given-splits.csv")
    project.run("dvc", "config", "cache.type", "hardlink,copy")
    project.run("dvc", "repro", "fetch")
    assert project.contents("data/images/*/*", "data/left-out.csv", "data/given-splits.csv") == copied
    image = project.folder / "data/images/jug/000.png"
    assert image.stat().st_nlink == 2  # with DVC's cache
    assert not image.samefile(wares / "jug" / "000.png")
    assert facts(wares) == before
