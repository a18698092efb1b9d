"""How often the stages read image files, which is most of what they cost where images are large."""

from collections import Counter
from pathlib import Path

import yaml

from projects import Project
from similarity.dataset.manifest import read_manifest

LOGGING = """
import os, sys
log = open(os.environ["LOG_OF_OPENED"], "a", buffering=1)
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        log.write(f"{os.path.basename(sys.argv[0])}\\t{os.path.abspath(arguments[0])}\\n")
sys.addaudithook(note)
"""


def opened_by(project: Project, tmp_path: Path, *stages: str) -> Counter[tuple[str, str]]:
    """Runs stages; gives how often each of them opened each image, by its key."""
    log = tmp_path / f"{'_'.join(stages)}.log"
    (tmp_path / "sitecustomize.py").write_text(LOGGING)
    watched = {"PYTHONPATH": str(tmp_path), "LOG_OF_OPENED": str(log)}
    for stage in stages:
        project._replace(environment={**project.environment, **watched}).run("python", f"src/{stage}.py")
    images = project.folder.resolve() / "data/images"
    lines = (line.split("\t") for line in log.read_text().splitlines())
    opened = ((Path(script).stem, Path(path)) for script, path in lines)
    return Counter((stage, path.relative_to(images).as_posix()) for stage, path in opened if images in path.parents)


def test_an_image_is_read_by_scan_and_by_featurize_and_by_no_other_stage(project: Project, tmp_path: Path) -> None:
    """But for a sample of the test images, which `variants` changes; and `featurize` reads what its cache lacks."""
    keys = read_manifest(project.folder / "data/manifest.csv").keys
    stages = [name for name in yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"] if name != "fetch"]
    without_cache = project._replace(environment={**project.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    opened = opened_by(without_cache, tmp_path, *stages)
    by_variants = {key for stage, key in opened if stage == "variants"}
    expected = {(stage, key): 1 for stage in ("scan", "featurize") for key in keys}
    assert opened == expected | {("variants", key): 1 for key in by_variants}
    assert 0 < len(by_variants) < len(keys) / 4
    assert opened_by(without_cache, tmp_path, "featurize") == {}
