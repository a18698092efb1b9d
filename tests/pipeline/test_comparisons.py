"""Two trainings side by side: their plots, and their results query by query."""

import re

import pytest

from projects import Project, stages_run

QUERY_PICTURE = r'<img src="static/\w+_plots_queries_query_'


@pytest.fixture(scope="module")
def experiment(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A copy of the reproduced project with an experiment in it, not to be changed, and what the experiment printed."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("projects") / "experiment")
    return project, project.run(
        "dvc", "exp", "run", "-S", "train.lr=0.00001", "-S", "train.epochs=1", "--name", "untrained"
    )


def test_a_small_learning_rate_in_scientific_notation_works(experiment: tuple[Project, str]) -> None:
    project, printed = experiment
    expected = {"train", "embed", "neighbors", "ann", "novelty", "evaluate", "report"}
    assert set(stages_run(printed)) == expected
    assert "lr: 1e-05" in (project.folder / "params.yaml").read_text(encoding="utf-8")


def test_plots_show_curves_recall_confusion_and_pictures(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "report")
    page = (project.folder / "report" / "index.html").read_text(encoding="utf-8")
    for title in ("Cross-entropy loss", "Recall of the approximate index", "10 nearest", "Class of each query"):
        assert title in page
    assert len(re.findall(QUERY_PICTURE, page)) == 10
    assert "The charts below stay empty" in page  # shown if the library that draws them does not come
    assert not re.search(r"\{(scripts|plot_divs|refresh_tag)\}", page)


def test_plots_of_two_trainings_are_drawn_together(experiment: tuple[Project, str]) -> None:
    project, _ = experiment
    project.run("dvc", "plots", "diff", "HEAD", "--out", "comparison")
    comparison = (project.folder / "comparison" / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(QUERY_PICTURE, comparison)) == 2 * 10


def test_two_models_are_compared_query_by_query(experiment: tuple[Project, str]) -> None:
    """By the validation images, unless the test images are asked for; one training each shows no difference."""
    project, _ = experiment
    scores = (project.folder / "metrics/details/query_scores.csv").read_text(encoding="utf-8")
    for option, split, described in (((), "valid", "validation"), (("--test",), "test", "test")):
        printed = project.run("python", "src/compare.py", "HEAD", "untrained", *option).splitlines()
        assert printed[0] == f"{scores.count(f',{split},')} {described} images; HEAD, untrained, difference"
        names = ["correct", "p_at_1", "p_at_10", "map_at_r", "unseen_p_at_10", "unseen_map_at_r"]
        assert [line.split()[0] for line in printed[1:-1]] == names
        assert float(printed[1].split()[3]) < 0
        assert printed[-1] == "One training of each does not show whether they differ: add `--seeds 3`."
    refused = project.run("python", "src/compare.py", "HEAD", "nonsense", status=1)
    assert refused.startswith("error: cannot read metrics/details/query_scores.csv of 'nonsense'")
    assert len(refused.splitlines()) == 1


def test_trainings_with_other_seeds_are_queued_once_and_compared(experiment: tuple[Project, str]) -> None:
    project, _ = experiment
    compare = ("python", "src/compare.py", "untrained", "untrained", "--seeds", "2")
    for _ in range(2):
        assert "2 trainings are queued: run `dvc queue start`" in project.run(*compare)
    project.run("dvc", "exp", "run", "--run-all", "--quiet")
    printed = project.run(*compare).splitlines()
    assert ", 2 trainings of each; untrained, untrained, difference" in printed[0]
    assert all(line.endswith("no difference shown") for line in printed[1:])
    assert printed[4].split()[0] == "map_at_r"
