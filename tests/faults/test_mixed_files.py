"""Files that are damaged or from different runs are never used together, by any command that reads them."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from projects import Project
from similarity import UserError, open_index
from similarity.engine.engine import Engine

KEY = "jug/jug_0003.jpg"
READ = (
    "data/findings.csv", "data/manifest.csv", "data/splits.csv", "models/embedder/embedding.npz",
    "models/embedder/graph.bin", "models/embeddings.npy", "models/index.ann", "models/index.json",
    "models/inverted-index.json", "models/map.npz", "models/novelty.npz",
)  # fmt: skip
COMMANDS = {
    "query.py KEY": ("query.py", KEY),
    "query.py": ("query.py", "photograph.jpg"),
    "serve.py": ("serve.py", "--port", "0"),
    "export.py": ("export.py", "--out", "exported"),
}


@pytest.fixture(scope="module")
def healthy(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that tests damage and repair."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("mixed") / "project")
    shutil.copyfile(project.folder / "data/images" / KEY, project.folder / "photograph.jpg")
    return project


def refusal(project: Project, command: str) -> str:
    """Run a command that must refuse the files; return its one line."""
    script, *arguments = COMMANDS[command]
    printed = project.run("python", f"src/{script}", *arguments, status=1)
    assert len(printed.splitlines()) == 1
    return printed


def exchange_lines(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    return b"".join(lines)


def flip_a_bit(content: bytes) -> bytes:
    place = random.Random(0).randrange(len(content))  # noqa: S311  # not for secrets
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def replace(path: Path, content: bytes) -> None:
    path.unlink()  # it may be a link to what other tests use
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, flip_a_bit) for name in READ),
        *((name, exchange_lines) for name in ("data/manifest.csv", "models/inverted-index.json")),
        *((name, cut) for name in ("models/inverted-index.json", "models/index.ann")),
    ],
)
def test_a_damaged_file_is_refused_by_what_reads_it(
    healthy: Project, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = healthy.folder / name
    content, message = path.read_bytes(), f"{name.split('/embedder')[0]}.* run `dvc checkout`"
    try:
        replace(path, damage(content))
        with pytest.raises(UserError, match=message):
            open_index(healthy.folder)
        if name == "models/inverted-index.json":
            with pytest.raises(UserError, match=message):
                Engine(healthy.folder).resolve(KEY)
    finally:
        replace(path, content)


def test_every_command_refuses_damaged_files_and_names_a_missing_one(healthy: Project) -> None:
    embeddings, inverted = (healthy.folder / "models" / name for name in ("embeddings.npy", "inverted-index.json"))
    contents = embeddings.read_bytes(), inverted.read_bytes()
    replace(embeddings, flip_a_bit(contents[0]))
    for command in ("query.py", "serve.py", "export.py"):
        assert "models/embeddings.npy is not what stage embed made" in refusal(healthy, command)
    replace(embeddings, contents[0])
    replace(inverted, flip_a_bit(contents[1]))
    assert "models/inverted-index.json is not what stage neighbors made" in refusal(healthy, "query.py KEY")
    replace(inverted, contents[1])
    index = healthy.folder / "models/index.ann"
    moved = index.rename(healthy.folder / "moved.ann")
    assert "models/index.ann is missing: run `dvc repro`" in refusal(healthy, "query.py")
    moved.rename(index)
    assert healthy.run("python", "src/query.py", KEY)


def test_files_of_another_run_are_refused_until_the_run_is_complete(healthy: Project, tmp_path: Path) -> None:
    project = healthy.copy_to(tmp_path / "project")
    project.set_params(embedding={"visual_weight": 0.3})
    project.run("dvc", "repro", "embed")
    for command in ("query.py", "query.py KEY", "serve.py"):
        assert "run `dvc repro`" in refusal(project, command)
    project.run("dvc", "repro", "ann", "novelty")
    assert project.run("python", "src/query.py", "photograph.jpg", KEY)
