"""Each stage depends on the packages of all modules that its script imports, also inside of functions.

Otherwise old results would stay after the code was changed.
"""

import ast
import runpy
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from projects import ROOT

SOURCES = ROOT / "src"
LIBRARY = SOURCES / "similarity"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
# They decide what a run prints and checks and where its files are, not what comes out: the values of parameters and the
# paths of files are dependencies of their own.
WITHOUT_INFLUENCE = {*(LIBRARY / name for name in ("errors.py", "layout.py", "params.py")), SOURCES / "pipeline"}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
VERSIONS = yaml.safe_load((LIBRARY / "data" / "versions.yaml").read_text(encoding="utf-8"))
PACKAGES = {path.parent for path in LIBRARY.glob("*/__init__.py")} | {SOURCES / "pipeline", SOURCES / "service"}


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
    return SOURCES / f"{name.replace('.', '/')}.py"


def room(module: Path) -> Path:
    """What a stage lists for a module: the package that it is in, or the module itself if it is a script."""
    return next((package for package in PACKAGES if package in module.parents), module)


def rooms_imported_by(package: Path) -> set[Path]:
    names = {name for module in package.rglob("*.py") for name in imported_names(module)}
    return {room(path) for name in names if (path := module_file(name)).exists()} - {package}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_packages_that_it_imports(name: str) -> None:
    listed = {ROOT / dependency for dependency in STAGES[name]["deps"] if dependency.startswith("src/")}
    imported = {room(module) for module in imported_modules(SOURCES / f"{name}.py")}
    assert listed == imported - WITHOUT_INFLUENCE


def test_the_graph_stays_small() -> None:
    dependencies = [dependency for stage in STAGES.values() for dependency in stage["deps"]]
    assert len(STAGES) <= 14
    assert len(dependencies) <= 120
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 180
    assert len((ROOT / "dvc.lock").read_text(encoding="utf-8").splitlines()) <= 700
    assert sum(map(len, PARAMS.values())) <= 40


def test_the_recorded_versions_are_those_of_the_pins() -> None:
    record_versions = runpy.run_path(str(ROOT / "scripts" / "record_versions.py"))
    pins = record_versions["pinned_versions"]((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    assert pins == VERSIONS
    assert all(VERSIONS.values())


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_script_of_its_name_and_leaves_the_run_cache_on(name: str) -> None:
    stage = STAGES[name]
    assert stage["cmd"] == f"python src/{name}.py"
    assert stage["desc"]
    assert all(isinstance(output, str) for output in stage.get("outs", [])), (
        "`persist` and `cache: false` switch it off"
    )
    for output in [*stage.get("metrics", []), *stage.get("plots", [])]:
        assert all(settings["cache"] is False and "persist" not in settings for settings in output.values())
    # DVC leaves `size` and `nfiles` out of the key of a run, wherever they stand, as if they were of a file.
    sections = [PARAMS.get(listed, {}) for listed in stage.get("params", []) if isinstance(listed, str)]
    assert not any({"size", "nfiles"} & set(section) for section in sections)


def test_the_library_imports_nothing_from_above_and_knows_no_dvc() -> None:
    for module in LIBRARY.rglob("*.py"):
        for name in imported_names(module):
            assert name.split(".")[0] not in {"dvc", "pipeline", "service", *STAGES}, f"{module} imports {name}"


def test_no_two_packages_import_each_other_directly_or_not() -> None:
    TopologicalSorter({package: rooms_imported_by(package) for package in PACKAGES}).prepare()  # or a CycleError
