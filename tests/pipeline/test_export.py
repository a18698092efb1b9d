"""The exported model, run without anything of this project; and what is refused."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import export
from accesses import accesses_of, watch
from projects import Project
from similarity.errors import UserError


def test_an_onnx_export_gives_the_stored_embeddings_by_the_snippets_of_its_readme(
    project: Project, tmp_path: Path
) -> None:
    kept, folder = tmp_path / "cache", project.folder / "export"
    alone = watch(project._replace(environment={**project.environment, "XDG_CACHE_HOME": str(kept)}), tmp_path)
    assert "100 indexed images checked" in alone.run("python", "src/export.py", "--format", "onnx")
    assert not [each for each in accesses_of(alone) if each.is_foreign]
    assert not (kept / "Microsoft").exists()  # what ONNX Runtime would report
    assert project.run("git", "status", "--porcelain") == ""
    stored = project.read_json("models/embeddings.json")
    key = next(key for key, embedding in stored.items() if any(embedding))
    shutil.copyfile(project.folder / "data/images" / key, folder / "photo.jpg")
    pixels, *_, snippet = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.S)
    shown = f"import os\nos.chdir('export')\n{pixels}\n{snippet}\nprint('\\n', np.asarray(embedding)[0].tolist())"
    embedding = np.array(json.loads(project.run("python", "-c", shown).splitlines()[-1]))
    cosine = embedding @ stored[key] / np.linalg.norm(embedding) / np.linalg.norm(stored[key])
    assert cosine >= 0.9999


def test_other_folders_and_missing_packages_are_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("# Images\n", encoding="utf-8")
    for out in (tmp_path, tmp_path / "README.md"):
        monkeypatch.setattr(sys, "argv", ["export.py", "--out", str(out)])
        with pytest.raises(UserError, match="not an earlier export"):
            export.main()
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr(sys, "argv", ["export.py", "--format", "onnx"])
    with pytest.raises(UserError, match="pip install "):
        export.main()
