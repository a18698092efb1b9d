"""Read `params.yaml`, and explain what is wrong with it."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from similarity.errors import UserError
from similarity.params import Params


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check every parameter.

    Raises:
        UserError: the file is missing or no YAML, or a parameter is unknown, missing or not allowed. The message
            names the parameter with dots, its value, and what is allowed.
    """
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except FileNotFoundError as error:
        raise UserError(f"there is no {path} here: run from the root of the repository") from error
    except ValidationError as error:
        raise UserError("; ".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _explain(problem: Any) -> str:
    name, value = ".".join(str(part) for part in problem["loc"]), problem["input"]
    if problem["type"] == "extra_forbidden":
        sections = {
            key: field.annotation.model_fields for key, field in Params.model_fields.items() if field.annotation
        }
        known = [*sections, *(f"{section}.{key}" for section, keys in sections.items() for key in keys)]
        near = difflib.get_close_matches(name, known, n=1)
        return f"{name} is unknown" + (f"; did you mean {near[0]}?" if near else "; remove it")
    if problem["type"] == "missing":
        return f"{name} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    place = [name] * bool(name) + [repr(value)] * (not isinstance(value, dict | BaseModel))
    return ": ".join([*place, message[0].lower() + message[1:]])
