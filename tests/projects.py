"""A small copy of this project in a git repository of its own."""

from pipeline.inputs import load_params

import csv
import importlib
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from similarity.data.files import Outputs
from similarity.engine.dvc_lock import DvcLock, md5s

WAY_BACK = "git checkout HEAD -- . && dvc checkout"  # README's
ROOT = Path(__file__).parents[1]
PROJECT_FILES = (
    "src",
    "data/sources",
    "data/corrections.csv",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/plots.html",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "data/.gitignore",
)
SMALL: dict[str, dict[str, dict[str, object]]] = {
    "data/sources/demo.yaml": {"generate": {"images_per_class": 24, "size": 48}},
    "params.yaml": {
        "backbone": {"image_size": 48, "taps": ["block1", "block2", "block3"]},
        "embedding": {"visual_size": 16, "visual_taps": ["block2", "block3"]},
        "train": {"epochs": 15},
    },
}
UNTRAINED: dict[str, dict[str, object]] = {
    "train": {"lr": 0.00001, "epochs": 1},
    "embedding": {"size": 16, "visual_size": 0},
}
"""Changes of `SMALL` that find less, without a visual part."""


class Project(NamedTuple):
    """A repository, and how commands run in it."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, status: int = 0) -> str:
        """Runs a command, checks its exit status, and returns what it printed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, encoding="utf-8", check=False, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=400,
        )  # fmt: skip
        assert done.returncode == status, f"{' '.join(command)} gave {done.returncode}:\n{done.stdout}"
        return done.stdout

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> "Project":
        """Makes its folder the working folder of this process, and its environment that of this process."""
        monkeypatch.chdir(self.folder)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        return self

    def set_params(self, **sections: dict[str, object]) -> None:
        update_yaml(self.folder / "params.yaml", sections)

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "test")

    def record(self, output: str) -> None:
        """Lets dvc.lock say that a stage made an output as it is now, and that others used it."""
        lock = self.folder / "dvc.lock"
        former, [now] = DvcLock(self.folder).md5(Path(output)), md5s([self.folder / output])
        lock.write_text(lock.read_text(encoding="utf-8").replace(former, now), encoding="utf-8")

    def read_json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_bytes())

    def read_table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def contents(self, *patterns: str) -> dict[str, bytes]:
        """All files that match, by their path."""
        found = (path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}

    def copy_to(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        return self._replace(folder=folder)


def run_stages(*names: str) -> None:
    """Run stages in this process and in the working folder."""
    for name in names:
        with Outputs() as outputs:
            importlib.import_module(name).main(load_params(), outputs)


def obey_interrupts() -> None:
    """Undo, in a new process, what a shell sets for its background jobs and their children inherit: ignoring Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def output_names(project: Project, stage: str) -> list[str]:
    """The files and folders that a stage makes, by dvc.yaml."""
    listed = yaml.safe_load((project.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    entries = [*listed.get("outs", []), *listed.get("metrics", []), *listed.get("plots", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs_of(project: Project, stage: str) -> dict[str, bytes]:
    """All files that a stage makes, as far as they are there, by their path."""
    return project.contents(*(pattern for name in output_names(project, stage) for pattern in (name, f"{name}/**/*")))


def splits_of(project: Project) -> dict[str, str]:
    """The split of each image, by its key."""
    return {row["path"]: row["split"] for row in project.read_table("data/splits.csv")}


def stages_run(printed: str) -> list[str]:
    """The stages that DVC ran, by what it printed."""
    return re.findall(r"Running stage '(\w+)'", printed)


def update_yaml(path: Path, changes: dict[str, dict[str, object]]) -> None:
    """Changes values as `dvc exp run -S` does, which leaves comments and order as they are."""
    with modify_yaml(str(path)) as content:
        for section, values in changes.items():
            content[section].update(values)


def make_small_project(project: Project) -> None:
    """Makes a repository of the pipeline with settings that run in seconds, committed."""
    copy_small_project(project.folder)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit()


def copy_small_project(folder: Path) -> None:
    """Copies what git tracks of the pipeline, with settings that run in seconds."""
    for name in PROJECT_FILES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for name, changes in SMALL.items():
        update_yaml(folder / name, changes)
