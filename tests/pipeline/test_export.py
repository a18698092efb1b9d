"""The exported model, run without anything of this project; and what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np

from accesses import accesses_of, watch
from projects import Project


def export(project: Project, *arguments: str, status: int = 0) -> str:
    printed = project.run("python", "src/export.py", *arguments, status=status)
    if status:
        assert len(printed.splitlines()) == 1, printed
        assert printed.startswith("error: ")
    return printed


def test_an_onnx_export_gives_the_stored_embeddings_by_the_snippets_of_its_readme(
    project: Project, tmp_path: Path
) -> None:
    kept, folder = tmp_path / "cache", project.folder / "export"
    alone = watch(project._replace(environment={**project.environment, "XDG_CACHE_HOME": str(kept)}), tmp_path)
    assert "100 indexed images checked" in export(alone, "--format", "onnx")
    assert not [each for each in accesses_of(alone) if each.is_foreign]
    assert not (kept / "Microsoft").exists()  # what ONNX Runtime would report
    assert project.run("git", "status", "--porcelain") == ""
    stored = json.loads((project.folder / "models/embeddings.json").read_bytes())
    key = next(key for key, embedding in stored.items() if any(embedding))
    shutil.copyfile(project.folder / "data/images" / key, folder / "photo.jpg")
    pixels, *_, snippet = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.S)
    shown = f"import os\nos.chdir('export')\n{pixels}\n{snippet}\nprint('\\n', np.asarray(embedding)[0].tolist())"
    embedding = np.array(json.loads(project.run("python", "-c", shown).splitlines()[-1]))
    cosine = embedding @ stored[key] / np.linalg.norm(embedding) / np.linalg.norm(stored[key])
    assert cosine >= 0.9999


def test_other_folders_and_missing_packages_are_refused_before_anything_is_computed(
    project: Project, tmp_path: Path
) -> None:
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "photo.jpg").touch()
    for name in ("elsewhere", "."):  # a folder with other files, and the project, which has a README.md as well
        (project.folder / "README.md").write_text("# Images\n", encoding="utf-8")
        assert "not an earlier export" in export(project, "--out", name, status=1)
    assert [path.name for path in elsewhere.iterdir()] == ["photo.jpg"]
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tf2onnx'] = None\n", encoding="utf-8")
    without = project._replace(environment={**project.environment, "PYTHONPATH": str(tmp_path)})
    assert "pip install " in export(without, "--format", "onnx", status=1)
