"""A recall that is asked for is reached with as few candidates as possible, and queries go by what was found."""

import json
from pathlib import Path

import pytest

from projects import Project

WRITTEN = ("models/index*", "models/base/ann-neighbors.npz", "metrics/ann.json")


def read(project: Project, name: str) -> dict:
    return json.loads(Path(project.folder, name).read_text(encoding="utf-8"))


def recall_with(project: Project, **ann: object) -> float:
    project.set_params(ann=ann)
    project.run("python", "src/ann.py")
    return read(project, "metrics/ann.json")["recall_at_k"]


def test_a_higher_target_takes_more_candidates_which_are_kept_beside_the_index(project: Project) -> None:
    settings = []
    for target in (0.5, 0.9):
        assert recall_with(project, trees=3, target_recall=target) > target
        assert read(project, "metrics/ann.json")["search_k"] == read(project, "models/index.json")["search_k"]
        settings.append(read(project, "models/index.json")["search_k"])
    assert 1 <= settings[0] < settings[1] <= read(project, "metrics/data.json")["images"]


def test_queries_go_by_the_index_and_not_by_params_changed_since(project: Project) -> None:
    project.set_params(ann={"backend": "faiss", "search_k": 1})
    image = next((project.folder / "data/images").glob("*/*"))
    printed = project.run("python", "src/query.py", str(image), "--index", "annoy", "--json")
    assert json.loads(printed)["queries"][0]["neighbors"]


@pytest.mark.parametrize(
    ("ann", "message"),
    [
        (
            {"target_recall": 0.99},
            "0.99 cannot be shown with 72 queries: even without a miss they prove a recall of",
        ),
        (
            {"target_recall": 0.95, "backend": "faiss", "links": 2},
            "0.95 is not reached with as many candidates as images",
        ),
    ],
)
def test_a_target_that_cannot_be_reached_is_refused_and_the_index_stays(
    project: Project, ann: dict[str, object], message: str
) -> None:
    before = project.contents(*WRITTEN)
    project.set_params(ann=ann)
    printed = project.run("python", "src/ann.py", status=1)
    assert printed.startswith(f"error: ann.target_recall in params.yaml: {message}")
    assert len(printed.splitlines()) == 2  # and the way back
    assert project.contents(*WRITTEN) == before
