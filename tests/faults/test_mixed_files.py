"""Files that are damaged or from different runs are never used together, by any command that reads them."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from projects import Project

KEY = "jug/jug_0003.jpg"
BY_ALL = ("query.py", "serve.py")
READERS = {
    "data/manifest.csv": (*BY_ALL, "export.py"),
    "models/embeddings.npy": (*BY_ALL, "export.py"),
    "models/embedder/embedding.npz": (*BY_ALL, "export.py"),
    "models/embedder/graph.bin": (*BY_ALL, "export.py"),
    "models/inverted-index.json": ("serve.py", "query.py KEY"),
    "models/index.ann": BY_ALL,
    "models/index.json": BY_ALL,
    "models/novelty.npz": BY_ALL,
    "models/map.npz": ("serve.py",),
    "data/splits.csv": ("serve.py",),
    "data/findings.csv": ("serve.py",),
}


@pytest.fixture(scope="module")
def healthy(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that tests damage and repair."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("mixed") / "project")
    shutil.copyfile(project.folder / "data/images" / KEY, project.folder / "photograph.jpg")
    return project


def refusal(project: Project, reader: str) -> str:
    """Run a command that must refuse the files; return its one line."""
    arguments = {
        "query.py": ("query.py", "photograph.jpg"),
        "query.py KEY": ("query.py", KEY),
        "serve.py": ("serve.py", "--port", "0"),
        "export.py": ("export.py", "--out", "exported"),
    }[reader]
    printed = project.run("python", f"src/{arguments[0]}", *arguments[1:], status=1)
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


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, flip_a_bit) for name in READERS),
        *((name, exchange_lines) for name in ("data/manifest.csv", "models/inverted-index.json")),
        *((name, cut) for name in ("models/inverted-index.json", "models/index.ann")),
    ],
)
def test_a_damaged_file_is_refused_by_what_reads_it(
    healthy: Project, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = healthy.folder / name
    content = path.read_bytes()
    readers = READERS[name]
    try:
        replace(path, damage(content))
        assert f"{name.split('/embedder')[0]}" in (message := refusal(healthy, readers[len(content) % len(readers)]))
        assert "run `dvc checkout`" in message
    finally:
        replace(path, content)


def replace(path: Path, content: bytes) -> None:
    path.unlink()  # it may be a link to what other tests use
    path.write_bytes(content)


def test_files_of_another_run_are_refused_until_the_run_is_complete(healthy: Project, tmp_path: Path) -> None:
    project = healthy.copy_to(tmp_path / "project")
    project.set_params(embedding={"visual_weight": 0.3})
    project.run("dvc", "repro", "embed")
    for reader in ("query.py", "query.py KEY", "serve.py"):
        assert "run `dvc repro`" in refusal(project, reader)
    project.run("dvc", "repro", "ann", "novelty")
    assert project.run("python", "src/query.py", "photograph.jpg", KEY)


@pytest.mark.parametrize("content", [b"", b"[]", b"stages: {"])
def test_without_a_lock_nothing_is_read(healthy: Project, content: bytes) -> None:
    lock = healthy.folder / "dvc.lock"
    whole = lock.read_bytes()
    try:
        replace(lock, content)
        assert "dvc.lock is damaged: run `git checkout HEAD -- dvc.lock`" in refusal(healthy, "query.py KEY")
        lock.unlink()
        assert "dvc.lock is missing" in refusal(healthy, "query.py KEY")
    finally:
        lock.unlink(missing_ok=True)
        lock.write_bytes(whole)
    assert healthy.run("python", "src/query.py", KEY)


def test_a_missing_file_is_named(healthy: Project) -> None:
    index = healthy.folder / "models/index.ann"
    moved = index.rename(healthy.folder / "moved.ann")
    try:
        assert "models/index.ann is missing: run `dvc repro`" in refusal(healthy, "query.py")
    finally:
        moved.rename(index)
