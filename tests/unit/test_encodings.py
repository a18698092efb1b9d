"""No text file is read or written, and no output of a program, in whatever encoding the locale of the machine has."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "benchmarks", "scripts")
FILE_MODES = set("rwax+bt")


def calls_in_the_locale(path: Path) -> Iterator[int]:
    """The lines of a module that open text without an encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and opens_text(node):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if "encoding" not in given:
                yield node.lineno


def opens_text(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if any(
        keyword.arg in {"text", "universal_newlines"} and getattr(keyword.value, "value", None) is True
        for keyword in call.keywords
    ):
        return True
    if name != "open":
        return name in {"read_text", "write_text"}
    modes = call.args[1:2] if isinstance(call.func, ast.Name) else call.args[:1]
    if not modes:
        return isinstance(call.func, ast.Name) or not call.args
    mode = getattr(modes[0], "value", None)
    return isinstance(mode, str) and set(mode) <= FILE_MODES and "b" not in mode


def test_every_text_has_its_encoding_named() -> None:
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in modules for line in calls_in_the_locale(path)]
    assert found == []
