"""Image similarity: `open_index` opens what a pipeline has made, to ask which images look alike.

What is named here is imported when it is first used, so that a part of the library is imported without the others.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from similarity.engine.image_index import ImageIndex, open_index
    from similarity.engine.results import Match, Matches, Result
    from similarity.errors import UserError

__all__ = ["ImageIndex", "Match", "Matches", "Result", "UserError", "open_index"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module in ("errors", "engine.image_index", "engine.results"):
        if name in __all__ and hasattr(found := import_module(f"similarity.{module}"), name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
