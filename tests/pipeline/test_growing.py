"""The index grows and shrinks with the model as it is, and DVC knows of it."""

from pipeline import feature_blocks
from pipeline.paths import PENDING

import csv
import json
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import add
from projects import Project, stages_run
from samples import write_rocks
from similarity.dataset.change_list import Changes, read_changes, write_changes
from similarity.errors import UserError
from similarity.files import Outputs
from similarity.params import load_params

REMOVED = ("gneiss/gneiss_0003.jpg", "schist/schist_0007.jpg")
SEARCHED = ("models/*", "models/embedder/*", "data/added/**/*", "data/changes/*", "metrics/index.json")
RECORDED = (*SEARCHED, "dvc.lock", "data/*.dvc")


@pytest.fixture(scope="module")
def photographs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images in three classes, one of which the model does not know."""
    return write_rocks(tmp_path_factory.mktemp("new") / "photographs", ("andesite", "slate", "marble"), 3, 48)


@pytest.fixture(scope="module")
def grown(reproduced: Project, photographs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project after images were added and others removed. Not to be changed."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("grown") / "project")
    printed = project.run("python", "src/add.py", str(photographs_folder), "--remove", *REMOVED)
    assert "index: 151 images, 9 added and 2 removed since the model was made\n" in printed
    assert "index: it was not taught the classes slate\n" in printed
    assert "python src/retrain.py" in printed
    return project


def keys_of(project: Project, name: str) -> list[str]:
    with (project.folder / name).open(encoding="utf-8", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_everything_that_is_searched_has_the_new_images_and_not_the_removed_ones(grown: Project) -> None:
    keys, before = keys_of(grown, "models/manifest.csv"), keys_of(grown, "data/manifest.csv")
    added = [f"{label}/{number:03d}.png" for label in ("andesite", "slate", "marble") for number in range(3)]
    assert keys == sorted({*before, *added} - {*REMOVED})
    for name in ("embeddings", "inverted-index", "ann-inverted-index"):
        content = json.loads((grown.folder / f"models/{name}.json").read_bytes())
        assert list(content) == keys
        if name != "embeddings":
            assert {other for neighbors in content.values() for other, _ in neighbors} <= {*keys}
            assert {len(neighbors) for neighbors in content.values()} == {10}
    assert np.load(grown.folder / "models/map.npy").shape == (len(keys), 2)


def test_nothing_that_the_model_was_made_from_has_moved(grown: Project, reproduced: Project) -> None:
    same = ("data/*.csv", "data/*.npy", "models/base/*", "models/index.ann", "models/best*", "models/embedder/*")
    assert grown.contents(*same) == reproduced.contents(*same)


def test_dvc_finds_all_as_its_own_run_would_have_left_it(grown: Project, tmp_path: Path) -> None:
    assert "up to date" in grown.run("dvc", "status")
    project = grown.copy_to(tmp_path / "project")
    before = project.contents(*RECORDED)
    assert stages_run(project.run("dvc", "repro")) == []
    project.run("dvc", "repro", "--force", "--single-item", "index", "seal")
    assert project.contents(*RECORDED) == before


def test_a_full_run_with_the_same_model_gives_the_same_bytes(
    grown: Project, photographs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = grown.copy_to(tmp_path / "project")
    shutil.copytree(photographs_folder, full.folder / "data/images", dirs_exist_ok=True)
    for key in REMOVED:
        (full.folder / "data/images" / key).unlink()
    monkeypatch.chdir(full.folder)
    monkeypatch.setattr(feature_blocks, "FEATURE_CACHE", tmp_path / "features.sqlite")
    write_changes(PENDING, Changes({}, {}))
    for stage in ("scan", "duplicates", "split", "featurize", "embed", "neighbors", "ann", "map", "index"):
        with Outputs() as outputs:
            import_module(stage).main(load_params(), outputs)
    assert len(np.load("models/base/embeddings.npy")) == 151
    same = ("models/manifest.csv", "models/embeddings.*", "models/inverted-index.json")
    assert full.contents(*same) == grown.contents(*same)
    assert len(grown.contents(*same)) == 4


def test_several_steps_come_to_the_same_as_one_and_a_step_twice_to_the_same_as_once(
    reproduced: Project, grown: Project, photographs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, folder = reproduced.copy_to(tmp_path / "project"), tmp_path / "photographs"
    monkeypatch.chdir(project.folder)
    for label in ("slate", "andesite", "marble"):
        shutil.copytree(photographs_folder / label, folder / label)
        for _ in range(2):
            add.change_index(*add.plan([folder], []))
    for key in REMOVED:
        add.change_index(*add.plan([], [key]))
    assert project.contents(*SEARCHED) == grown.contents(*SEARCHED)


def test_taking_all_changes_back_leaves_no_trace(grown: Project, tmp_path: Path) -> None:
    project = grown.copy_to(tmp_path / "project")
    for key in REMOVED:
        (tmp_path / "again" / key).parent.mkdir(parents=True)
        shutil.copyfile(project.folder / "data/images" / key, tmp_path / "again" / key)
    project.run("python", "src/add.py", str(tmp_path / "again"), "--remove", "*/0??.png")
    assert project.run("git", "status", "--porcelain") == ""
    assert "up to date" in project.run("dvc", "status")
    assert not (project.folder / "data/added").exists()


def write_unreadable(folder: Path) -> str:
    (folder / "marble").mkdir(parents=True)
    (folder / "marble/broken.png").write_bytes(b"no image")
    return "marble/broken.png: not an image in a known format"


def write_other_by_known_name(folder: Path) -> str:
    write_rocks(folder, ("marble",), 1)
    (folder / "marble/000.png").rename(folder / "marble/marble_0000.jpg")
    return "marble/marble_0000.jpg is to be added, but the data set has another image by this name"


def write_nothing(folder: Path) -> str:
    folder.mkdir()
    return "has no images"


def leave_out(folder: Path) -> str:
    return f"{folder} is not a folder"


@pytest.mark.parametrize("write", [write_unreadable, write_other_by_known_name, write_nothing, leave_out])
def test_what_cannot_be_added_is_refused_in_one_line_and_changes_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], str]
) -> None:
    expected, before = write(tmp_path / "new"), project.contents(*RECORDED)
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "argv", ["add.py", str(tmp_path / "new")])
    with pytest.raises(UserError, match=r"^[^\n]+$") as refused:
        add.main()
    assert expected in str(refused.value)
    assert project.contents(*RECORDED) == before


def test_a_key_that_is_not_indexed_cannot_be_removed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    with pytest.raises(UserError, match=r"no image 'marble/marble_00000.jpg' is indexed; near it are: marble/"):
        add.plan([], ["marble/marble_00000.jpg"])
    with pytest.raises(UserError, match="an index needs two images"):
        add.change_index(*add.plan([], ["*"]))


def test_a_full_disk_leaves_all_as_it_was(project: Project, photographs_folder: Path) -> None:
    before = project.contents(*RECORDED)
    limited = f"ulimit -f 40; trap '' XFSZ; exec python src/add.py {photographs_folder}"
    assert "error: models/embeddings.json: File too large\n" in project.run("bash", "-c", limited, status=1)
    assert project.contents(*RECORDED) == before
    assert not (project.folder / "data/added").exists()


def test_a_clone_gets_what_was_added_and_one_command_trains_on_all(grown: Project, tmp_path: Path) -> None:
    project = grown.copy_to(tmp_path / "project")
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit()
    project.run("dvc", "push")
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    clone = project._replace(folder=tmp_path / "clone")
    clone.run("dvc", "pull")
    assert clone.contents(*RECORDED) == project.contents(*RECORDED)
    printed = clone.run("python", "src/retrain.py")
    assert {"fetch", "split", "train", "threshold", "index"} <= {*stages_run(printed)}
    keys = keys_of(project, "models/manifest.csv")
    assert keys_of(clone, "data/manifest.csv") == keys_of(clone, "models/manifest.csv") == keys
    assert not any(read_changes(clone.folder / PENDING))
    assert not (clone.folder / "data/added").exists()
    assert "up to date" in clone.run("dvc", "status")
