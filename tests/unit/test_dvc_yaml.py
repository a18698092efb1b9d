"""Each stage depends on every module that its script imports, also inside of functions: else old results stay."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def imported_modules(script: Path) -> set[Path]:
    """The files below src/ that a script imports, directly or not, with itself."""
    found, waiting = set(), [script]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [path for name in imported_names(module) if (path := module_file(name)).exists()]
    return found


def imported_names(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_file(name: str) -> Path:
    return ROOT / "src" / f"{name.replace('.', '/')}.py"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_modules_that_it_imports(name: str) -> None:
    listed = {ROOT / dependency for dependency in STAGES[name]["deps"] if dependency.startswith("src/")}
    assert listed == imported_modules(ROOT / "src" / f"{name}.py")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_script_of_its_name_and_keeps_its_outputs_until_they_are_replaced(name: str) -> None:
    assert STAGES[name]["cmd"] == f"python src/{name}.py"
    for output in STAGES[name]["outs"]:
        assert all(settings["persist"] for settings in output.values())


def test_the_library_imports_nothing_from_above_and_knows_no_dvc() -> None:
    for module in (ROOT / "src" / "similarity").glob("*.py"):
        for name in imported_names(module):
            assert name.split(".")[0] not in {"dvc", "stage", *STAGES}, f"{module} imports {name}"
