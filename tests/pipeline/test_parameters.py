"""Changing a parameter reruns what depends on it and nothing else: DVC is asked, their page is held to its answer."""

import os
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.dependency import Dependency, ParamsDependency
from dvc.repo import Repo

from projects import ROOT, Project

PAGE_ROW = re.compile(r"^\| `([a-z_.]+)` \| .* \| ([a-z, ]+) \|$", re.MULTILINE)


def flat(params: dict[str, dict[str, object]]) -> dict[str, object]:
    return {f"{section}.{key}": value for section, values in params.items() for key, value in values.items()}


def other_value(value: object) -> object:
    """Any other value: DVC compares, it does not judge."""
    return {bool: not value, str: f"{value}x", list: ["final"], type(None): 7}.get(type(value)) or value + 1  # type: ignore[operator]


def is_setting(dependency: Dependency) -> bool:
    """Whether a parameter can change it: the others are files, which take longer to look through."""
    return isinstance(dependency, ParamsDependency) or dependency.def_path.startswith("data/sources/")


def settings_of(project: Project) -> list[tuple[str, Dependency]]:
    """Each stage's dependencies that a parameter can change, with the stage's name."""
    with Repo(os.fspath(project.folder)) as repo:
        return [(stage.name, dep) for stage in repo.index.stages for dep in stage.deps if is_setting(dep)]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """What scripts/write_parameters.py defines."""
    return runpy.run_path(str(ROOT / "scripts" / "write_parameters.py"))


def test_the_page_of_parameters_is_what_the_script_writes(script: dict[str, Any]) -> None:
    assert (ROOT / "docs/reference/parameters.md").read_text(encoding="utf-8") == script["page"]()


def test_each_parameter_reruns_what_its_page_says(here: Project, script: dict[str, Any]) -> None:
    path = Path("params.yaml")
    table = dict(PAGE_ROW.findall((ROOT / "docs/reference/parameters.md").read_text(encoding="utf-8")))
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    settings = settings_of(here)
    for name, value in flat(params).items():
        section, key = name.split(".")
        other = "data/sources/geological.yaml" if name == "data.source" else other_value(value)
        changed = {**params, section: {**params[section], key: other}}
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        # What a stage depends on is named by one parameter only; the values of the others are read again.
        current = settings_of(here) if name == "data.source" else settings
        direct = {stage for stage, dependency in current if dependency.status()}
        assert script["with_dependents"](direct, pipeline) == table[name].split(", "), name
