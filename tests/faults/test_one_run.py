"""Files that are damaged or of different runs are never used together, by whoever reads them."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from projects import Project

KEY = "marble/marble_0003.jpg"
BY_ALL = ("query.py", "serve.py")
SEALED = {  # who reads it
    "models/manifest.csv": (*BY_ALL, "export.py"),
    "models/embeddings.npy": (*BY_ALL, "export.py"),
    "models/embedder/embedding.npz": (*BY_ALL, "export.py"),
    "models/embedder/graph.bin": (*BY_ALL, "export.py"),
    "models/inverted-index.json": (*BY_ALL, "query.py KEY"),
    "models/index.ann": BY_ALL,
    "models/index.json": BY_ALL,
    "models/index-rows.npy": BY_ALL,
    "models/reference.npz": BY_ALL,
    "models/map.npy": ("serve.py",),
    "models/map-look.npy": ("serve.py",),
    "data/splits.csv": ("serve.py",),
    "data/audit.csv": ("serve.py",),
}


@pytest.fixture(scope="module")
def healthy(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that tests damage and mend."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("one_run") / "project")
    shutil.copyfile(project.folder / "data/images" / KEY, project.folder / "photograph.jpg")
    return project


def refuse(project: Project, reader: str) -> str:
    """Runs a reader that must refuse the files; gives its one line."""
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


def exchange_rows(content: bytes) -> bytes:
    row = 4 * 48  # of an embedding of 32 + 16 numbers, at the end of the file
    return content[: -2 * row] + content[-row:] + content[-2 * row : -row]


def search_less(content: bytes) -> bytes:
    return orjson.dumps(orjson.loads(content) | {"search_k": 1})


def flip_a_bit(content: bytes) -> bytes:
    place = random.Random(0).randrange(len(content))  # noqa: S311  # not for secrets
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.injects("a file is damaged or of another run")
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("models/manifest.csv", exchange_lines),
        ("models/embeddings.npy", exchange_rows),
        ("models/inverted-index.json", exchange_lines),
        ("models/index.json", search_less),
        *((name, flip_a_bit) for name in SEALED),
        *((name, cut) for name in ("models/inverted-index.json", "models/index.ann", "models/reference.npz")),
    ],
)
def test_a_file_that_is_not_of_the_run_is_refused_by_all_that_read_it(
    healthy: Project, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = healthy.folder / name
    content = path.read_bytes()
    try:
        replace(path, damage(content))
        reader = SEALED[name][hash_of(name + damage.__name__) % len(SEALED[name])]
        assert refuse(healthy, reader).startswith(f"error: {name} is not as the run left it that models/run.json is of")
    finally:
        replace(path, content)
    assert healthy.run("python", "src/query.py", KEY)


def hash_of(text: str) -> int:
    """A number that is the same in every run, unlike Python's own."""
    return sum(text.encode())


def replace(path: Path, content: bytes) -> None:
    path.unlink()  # it may be a link to what other tests use
    path.write_bytes(content)


@pytest.mark.injects("a file is damaged or of another run")
def test_files_of_another_run_are_refused_until_the_run_is_whole(healthy: Project, tmp_path: Path) -> None:
    project = healthy.copy_to(tmp_path / "project")
    project.set_params(train={"epochs": 2})
    project.run("dvc", "repro", "embed")
    for reader in ("query.py", "serve.py", "export.py"):
        assert "models/embed" in refuse(project, reader)
    project.run("dvc", "repro")
    assert project.run("python", "src/query.py", "photograph.jpg", KEY)


@pytest.mark.injects("a file is damaged or of another run")
@pytest.mark.parametrize("content", [b"", b"[]", b'{"models/embeddings.npy": '])
def test_without_a_seal_nothing_is_read(healthy: Project, content: bytes) -> None:
    seal = healthy.folder / "models/run.json"
    whole = seal.read_bytes()
    try:
        replace(seal, content)
        assert "models/run.json is damaged: run `dvc checkout`" in refuse(healthy, "query.py KEY")
        seal.unlink()
        assert "models/run.json is missing: run `dvc repro`" in refuse(healthy, "query.py KEY")
    finally:
        seal.unlink(missing_ok=True)
        seal.write_bytes(whole)


@pytest.mark.injects("a file is damaged or of another run")
def test_a_file_that_is_gone_is_told(healthy: Project) -> None:
    graph = healthy.folder / "models/embedder/graph.xml"
    moved = graph.rename(healthy.folder / "graph.xml")
    try:
        assert "models/embedder/graph.xml is missing: run `dvc repro`" in refuse(healthy, "query.py")
    finally:
        moved.rename(graph)
