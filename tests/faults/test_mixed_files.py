"""Files that are damaged or from different runs are never used together, by any command that reads them."""

import shutil
from pathlib import Path

import pytest

from projects import Project
from similarity import UserError, open_index

KEY = "jug/jug_0003.jpg"
READ = (
    "data/findings.csv", "data/manifest.csv", "data/splits.csv", "models/embedder/embedding.npz",
    "models/embedder/graph.bin", "models/embeddings.npy", "models/index.ann", "models/index.json",
    "models/inverted-index.json", "models/map.npz", "models/novelty.npz",
)  # fmt: skip


@pytest.fixture(scope="module")
def healthy(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that tests damage and repair."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("mixed") / "project")
    shutil.copyfile(project.folder / "data/images" / KEY, project.folder / "photograph.jpg")
    return project


def flip_a_bit(content: bytes) -> bytes:
    place = len(content) // 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def replace(path: Path, content: bytes) -> None:
    path.unlink()  # it may be a link to what other tests use
    path.write_bytes(content)


@pytest.mark.parametrize("name", READ)
def test_a_file_with_one_flipped_bit_is_refused(healthy: Project, name: str) -> None:
    path = healthy.folder / name
    content = path.read_bytes()
    replace(path, flip_a_bit(content))
    with pytest.raises(UserError, match=f"{name.split('/embedder')[0]}.* run `dvc checkout`"):
        open_index(healthy.folder)
    replace(path, content)


def test_every_command_refuses_damaged_files_and_names_a_missing_one(healthy: Project) -> None:
    def refused(*command: str) -> str:
        printed = healthy.run("python", *command, status=1)
        assert len(printed.splitlines()) == 1
        return printed

    embeddings, inverted, index = (
        healthy.folder / "models" / name for name in ("embeddings.npy", "inverted-index.json", "index.ann")
    )
    contents = embeddings.read_bytes(), inverted.read_bytes()
    by_key, by_file = ("src/query.py", KEY), ("src/query.py", "photograph.jpg")
    replace(embeddings, flip_a_bit(contents[0]))
    for command in (by_file, ("src/serve.py", "--port", "0"), ("src/export.py", "--out", "exported")):
        assert "models/embeddings.npy is not what stage embed made" in refused(*command)
    replace(embeddings, contents[0])
    replace(inverted, contents[1][: len(contents[1]) // 2])
    assert "models/inverted-index.json is not what stage neighbors made" in refused(*by_key)
    replace(inverted, contents[1])
    moved = index.rename(healthy.folder / "moved.ann")
    assert "models/index.ann is missing: run `dvc repro`" in refused(*by_file)
    moved.rename(index)
    assert healthy.run("python", *by_key)
