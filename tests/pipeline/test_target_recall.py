"""A recall that is asked for is reached with as few candidates as possible, and queries go by what was found."""

import json
from pathlib import Path

from projects import Project


def read(project: Project, name: str) -> dict:
    return json.loads(Path(project.folder, name).read_text(encoding="utf-8"))


def test_a_higher_target_takes_more_candidates_which_queries_go_by(project: Project) -> None:
    settings = []
    for target in (0.5, 0.8):
        project.set_params(ann={"trees": 3, "target_recall": target})
        project.run("python", "src/ann.py")
        assert read(project, "metrics/ann.json")["recall_at_k"] > target
        settings.append(read(project, "models/index.json")["search_k"])
        assert settings[-1] == read(project, "metrics/details/ann.json")["search_k"]
    assert 1 <= settings[0] < settings[1] <= read(project, "metrics/data.json")["images"]


def test_a_target_that_is_not_reached_is_refused_and_the_index_stays(project: Project) -> None:
    written = ("models/index*", "models/ann-inverted-index.json", "metrics/ann.json")
    before = project.contents(*written)
    stored = project.folder / "models/inverted-index.json"
    content = json.loads(stored.read_text(encoding="utf-8"))
    stored.unlink()  # a link to DVC's cache, perhaps
    perfect = {key: [[other, 1] for other, _ in neighbors] for key, neighbors in content.items()}
    stored.write_text("{\n" + ",\n".join(json.dumps(row)[1:-1] for row in [{k: v} for k, v in perfect.items()]) + "\n}")
    project.set_params(ann={"target_recall": 0.99})
    printed = project.run("python", "src/ann.py", status=1)
    message = "0.99 is not reached with as many candidates as images (144); lower it, or raise ann.trees (now 10)"
    assert printed.startswith(f"error: ann.target_recall in params.yaml: {message}")
    assert len(printed.splitlines()) == 2  # and the way back
    assert project.contents(*written) == before
