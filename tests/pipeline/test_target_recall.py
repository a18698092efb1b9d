"""A recall that is asked for is reached with as few candidates as possible, and queries go by what was found."""

import json
import re
from pathlib import Path

from projects import Project


def read(project: Project, name: str) -> dict:
    return json.loads(Path(project.folder, name).read_text(encoding="utf-8"))


def test_a_higher_target_takes_more_candidates_and_one_that_is_too_high_leaves_the_index(project: Project) -> None:
    settings = []
    for target in (0.5, 0.8):
        project.set_params(ann={"trees": 3, "target_recall": target})
        project.run("python", "src/ann.py")
        assert read(project, "metrics/ann.json")["recall_at_k"] > target
        settings.append(read(project, "models/index.json")["search_k"])
        assert settings[-1] == read(project, "metrics/details/ann.json")["search_k"]
    assert 1 <= settings[0] < settings[1] <= read(project, "metrics/data.json")["images"]
    before = project.contents("models/index*", "models/ann-inverted-index.json", "metrics/ann.json")
    stored = project.folder / "models/inverted-index.json"
    better = re.sub(r"0\.\d+", "1.5", stored.read_text(encoding="utf-8"))  # than any forest can be
    stored.unlink()  # a link to DVC's cache, perhaps
    stored.write_text(better, encoding="utf-8")
    printed = project.run("python", "src/ann.py", status=1)
    message = "0.8 is not reached with as many candidates as images (144); lower it, or raise ann.trees (now 3)"
    assert printed.startswith(f"error: ann.target_recall in params.yaml: {message}\n")
    assert project.contents("models/index*", "models/ann-inverted-index.json", "metrics/ann.json") == before
