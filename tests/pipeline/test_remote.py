from pathlib import Path

from projects import Project


def test_a_clone_pulls_everything_and_has_nothing_to_do(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit()
    project.run("dvc", "push")
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    clone = project._replace(folder=tmp_path / "clone")
    assert not clone.contents("models/*.npy", "data/images/*/*")
    clone.run("dvc", "pull")
    assert clone.contents("models/*", "data/**/*.jpg") == project.contents("models/*", "data/**/*.jpg")
    assert "up to date" in clone.run("dvc", "status")
    assert "Running stage" not in clone.run("dvc", "repro")
