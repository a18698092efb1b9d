"""Images of more than 8 bits: one range for the data set, which a few more images leave as it is."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from projects import Project, copy_small_project
from similarity.layout import RANGES, REMARKS, SCAN, THUMBNAILS


def write_cut(folder: Path, photograph: np.ndarray, number: int, bits: int) -> None:
    """Writes a gray cut-out of a photograph, in 8 or 12 bits, as <class>/<number>.png."""
    top, left = np.random.default_rng(number).integers(0, 200, 2)
    gray = np.asarray(Image.fromarray(photograph[top : top + 60, left : left + 60]).convert("L"))
    picture = gray if bits == 8 else gray.astype(np.uint16) * 16 + 15
    Image.fromarray(picture).save(folder / f"{number:03d}.png")


def test_a_data_set_of_twelve_bits_is_scanned_as_one_of_eight(
    environment: dict[str, str], photographs: list[np.ndarray], tmp_path: Path
) -> None:
    project = Project(tmp_path / "project", {**environment, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    copy_small_project(project.folder)
    eight, twelve = (project.folder / "data/images" / name for name in ("eight", "twelve"))
    for folder in (eight, twelve):
        folder.mkdir(parents=True)
        for number in range(8):
            write_cut(folder, photographs[1], number, bits=8 if folder == eight else 12)
    line = "scan: 8 images of more than 8 bits (integer): 0 is black and 4,095 white in all of them"
    assert line in project.run("python", "src/scan.py")
    thumbnails = np.load(project.folder / THUMBNAILS).astype(int)
    assert np.abs(thumbnails[:8] - thumbnails[8:]).max() <= 2  # of 255, rounded twice
    assert json.loads((project.folder / RANGES).read_text(encoding="utf-8")) == {"integer": [0, 4095]}
    assert "nearly one color" not in (project.folder / REMARKS).read_text(encoding="utf-8")
    before = project.contents(f"{SCAN}/**/*", str(RANGES))

    assert "0 images decoded" in project.run("python", "src/scan.py")
    assert project.contents(f"{SCAN}/**/*", str(RANGES)) == before
    write_cut(twelve, photographs[1], 8, bits=12)
    assert "1 image decoded" in project.run("python", "src/scan.py")
    assert (project.folder / RANGES).read_bytes() == before[str(RANGES)]
