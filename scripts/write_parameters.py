"""Writes docs/reference/parameters.md from the typed parameters, their defaults and the stages in dvc.yaml.

python scripts/write_parameters.py
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from similarity.params import Params  # noqa: E402  # found below the line above

PAGE = ROOT / "docs/reference/parameters.md"
HEAD = """# Parameters

Every parameter of `params.yaml`: its default, what is allowed, and the stages that a change of it runs at most. A stage
whose inputs come out as before is skipped, and what was run with the same parameters before comes from the run cache.

`scripts/write_parameters.py` writes this page from `src/similarity/params.py`, `params.yaml` and `dvc.yaml`.
"""
COLUMNS = "| parameter | default | allowed | meaning | stages that run |\n|---|---|---|---|---|"


def page() -> str:
    """The page's text, Markdown."""
    defaults = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return "\n".join([HEAD, COLUMNS, *rows(defaults, pipeline), ""])


def rows(defaults: dict[str, dict[str, Any]], pipeline: dict[str, dict]) -> Iterator[str]:
    for section, settings in defaults.items():
        model: Any = Params.model_fields[section].annotation
        for key, default in settings.items():
            field = model.model_fields[key]
            meaning = " ".join(field.description.split())
            stages = ", ".join(with_dependents(readers(f"{section}.{key}", pipeline), pipeline))
            values = allowed(field.annotation, field.metadata)
            yield f"| `{section}.{key}` | {shown(default)} | {values} | {meaning} | {stages} |"


def shown(value: object) -> str:
    if value is None:
        return "empty"
    return f"`{yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}`"


def allowed(annotation: Any, metadata: Sequence[Any]) -> str:
    """What a value of a field may be, from its annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        return allowed(arguments[0], [*arguments[1:], *metadata])
    if type(None) in arguments:
        return f"{allowed(arguments[0], metadata)}, or empty"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    constraints = [each for entry in metadata for each in (getattr(entry, "metadata", None) or [entry])]
    bounds = [
        f"{sign} {getattr(each, name):,}" for each in constraints for name, sign in signs.items() if hasattr(each, name)
    ]
    kinds = {float: "number", int: "whole number", bool: "true, false", str: "text"}
    return (
        ", ".join([kinds.get(annotation, "list"), *bounds]).replace(",", "", 1)
        if bounds
        else kinds.get(annotation, "list")
    )


def readers(name: str, pipeline: dict[str, dict]) -> set[str]:
    """The stages that list a parameter, or its section."""
    section = name.split(".")[0]
    listing = {stage for stage, settings in pipeline.items() if {name, section} & names(settings.get("params", []))}
    return {"fetch"} if name == "data.source" else listing


def with_dependents(stages: set[str], pipeline: dict[str, dict]) -> list[str]:
    """The stages, and those that depend on their outputs, in the order of the flow."""
    produced: set[str] = set()
    found = []
    for name, stage in pipeline.items():  # listed in that order
        if name in stages or any(is_within(path, dep) for dep in stage["deps"] for path in produced):
            found.append(name)
            produced |= {path for kind in ("outs", "metrics", "plots") for path in names(stage.get(kind, []))}
    return found


def is_within(path: str, folder: str) -> bool:
    """Whether a path is another one or in it."""
    return f"{path}/".startswith(f"{folder}/")


def names(entries: list) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
