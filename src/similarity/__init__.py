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
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from similarity.engine import image_index, results

    return getattr(image_index, name, None) or getattr(results, name)
