"""The exported model, as those run it who have nothing of this project; and what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from projects import Project

COSINES = """
cosines = (embedding * stored).sum(1) / np.linalg.norm(embedding, axis=1) / np.linalg.norm(stored, axis=1)
print(cosines.min())
"""
FROM_BYTES = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
stored = json.load(open("models/embeddings.json"))
keys = [key for key in list(stored)[::5] if any(stored[key])]
stored = np.array([stored[key] for key in keys])
model = tf.saved_model.load("export/saved_model")
images = tf.stack([tf.io.read_file("data/images/" + key) for key in keys])
embedding = model.signatures["bytes"](images=images)["embedding"].numpy()
assert not {"similarity", "openvino"} & {name.split(".")[0] for name in sys.modules}
"""


def export(project: Project, *arguments: str) -> list[str]:
    return project.run("python", "src/export.py", *arguments).splitlines()


def refusal(project: Project, *arguments: str) -> str:
    printed = project.run("python", "src/export.py", *arguments, status=1)
    assert len(printed.splitlines()) == 1, printed
    assert printed.startswith("error: ")
    return printed


def snippets(project: Project) -> list[str]:
    """The code in the README of an export."""
    return re.findall(r"```python\n(.*?)```", (project.folder / "export/README.md").read_text(encoding="utf-8"), re.S)


def cosine_by(project: Project, snippet: str, key: str) -> float:
    """Runs a snippet on an indexed image, and compares what it gives with what is stored."""
    folder = project.folder / "export"
    for name in ("photo.jpg", "other.png"):
        shutil.copyfile(project.folder / "data/images" / key, folder / name)
    shown = "import numpy, os\nos.chdir('export')\n{}\nprint('\\n', numpy.asarray(embedding)[0].tolist())"
    printed = project.run("python", "-c", shown.format(snippet))
    embedding = np.array(json.loads(printed.splitlines()[-1]))
    stored = np.array(json.loads((project.folder / "models/embeddings.json").read_bytes())[key])
    return float(embedding @ stored / np.linalg.norm(embedding) / np.linalg.norm(stored))


def lit_key(project: Project) -> str:
    """An image whose embedding is not all zeros."""
    stored = json.loads((project.folder / "models/embeddings.json").read_bytes())
    return next(key for key, embedding in stored.items() if any(embedding))


def test_the_saved_model_gives_the_stored_embeddings_with_tensorflow_alone(project: Project) -> None:
    lines = export(project)
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "saved_model, signature serving_default",
        "saved_model, signature bytes",
    ]
    assert float(project.run("python", "-I", "-c", FROM_BYTES + COSINES).splitlines()[-1]) >= 0.9999
    key = lit_key(project)
    from_pixels, from_bytes = snippets(project)
    assert cosine_by(project, from_pixels, key) >= 0.9999
    assert cosine_by(project, from_bytes, key) >= 0.9999
    assert project.run("git", "status", "--porcelain") == ""
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "photo.jpg").touch()
    assert "not an earlier export" in refusal(project, "--out", "elsewhere")
    assert [path.name for path in elsewhere.iterdir()] == ["photo.jpg"]


def test_onnx_gives_the_stored_embeddings(project: Project, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    kept = tmp_path / "cache"
    export(project._replace(environment={**project.environment, "XDG_CACHE_HOME": str(kept)}), "--format", "onnx")
    assert sorted(path.name for path in (project.folder / "export").iterdir()) == ["README.md", "model.onnx"]
    assert not (kept / "Microsoft").exists()  # what ONNX Runtime would report
    (snippet,) = snippets(project)
    assert cosine_by(project, snippet, lit_key(project)) >= 0.9999


def test_a_missing_package_is_told_before_anything_is_computed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tf2onnx'] = None\n", encoding="utf-8")
    project.environment["PYTHONPATH"] = str(tmp_path)
    try:
        assert "pip install " in refusal(project, "--format", "onnx")
    finally:
        del project.environment["PYTHONPATH"]


def test_a_model_that_does_not_give_the_stored_embeddings_leaves_the_former_export(project: Project) -> None:
    former = project.folder / "export"
    former.mkdir()
    (former / "README.md").write_text("# Exported embedding model\n", encoding="utf-8")
    path = project.folder / "models/embeddings.npy"
    embeddings = np.load(path)
    path.unlink()  # it may be a link to DVC's cache
    np.save(path, embeddings[::-1])
    project.run("dvc", "commit", "--force")
    assert "does not give the stored embeddings" in refusal(project)
    assert project.contents("export/*", ".*.export") == {"export/README.md": b"# Exported embedding model\n"}
