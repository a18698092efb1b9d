"""Changing a parameter reruns what depends on it and nothing else: DVC is asked, the README is held to its answer."""

import os
import re
from pathlib import Path

import pytest
import yaml

from projects import ROOT, Project

README_ROW = re.compile(r"^\| ((?:`[a-z_.*]+`(?:, )?)+) \| ([a-z, ]+) \|", re.MULTILINE)


def flat(params: dict[str, dict[str, object]]) -> dict[str, object]:
    return {f"{section}.{key}": value for section, values in params.items() for key, value in values.items()}


def other_value(value: object) -> object:
    """Any other value: DVC compares, it does not judge."""
    return {bool: not value, str: f"{value}x", list: ["final"], type(None): 7}.get(type(value)) or value + 1  # type: ignore[operator]


def with_dependents(stages: set[str], pipeline: dict[str, dict]) -> set[str]:
    def names(entries: list) -> set[str]:
        return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}

    produced = {name: names(stage.get("outs", [])) for name, stage in pipeline.items()}
    for name, stage in pipeline.items():  # listed in the order of the flow
        if any(produced[before] & names(stage["deps"]) for before in stages):
            stages = stages | {name}
    return stages


@pytest.fixture(scope="module")
def readme_table() -> dict[str, set[str]]:
    """For each parameter (a name or `section.*`), the stages that the README says are run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return {
        name.strip("`"): set(stages.split(", "))
        for names, stages in README_ROW.findall(readme)
        for name in names.split(", ")
    }


def test_each_parameter_reruns_what_the_readme_says(
    reproduced: Project, readme_table: dict[str, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    for variable, setting in reproduced.environment.items():
        if variable.startswith("DVC_"):
            monkeypatch.setenv(variable, setting)
    project = reproduced.copy_to(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    path = project.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    pipeline = yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"]
    for name, value in flat(params).items():
        section, key = name.split(".")
        other = "data/sources/geological.yaml" if name == "data.source" else other_value(value)
        changed = {**params, section: {**params[section], key: other}}
        path.write_text(yaml.safe_dump(changed))
        with Repo(os.fspath(project.folder)) as repo:
            direct = set(repo.status())
        expected = readme_table.get(name) or readme_table[f"{section}.*"]
        assert with_dependents(direct, pipeline) == expected, name
