"""The exceptions that a user is meant to read."""

from collections.abc import Sequence

_SHOWN = 10


class UserError(Exception):
    """Something the user can correct; the message is one line that says what is wrong, where, and how to correct it."""


class DataError(UserError):
    """Something wrong with one or many pieces of the data; the message names the first ten and counts the others.

    `problems` are all of them, a line each, and `is_complete` is whether the message names them all.
    """

    def __init__(self, problems: Sequence[str], advice: str) -> None:
        """Keep the problems, at least one, and how to correct them all."""
        self.problems, self.is_complete = list(problems), len(problems) <= _SHOWN
        more = [] if self.is_complete else [f"and {len(problems) - _SHOWN} more"]
        super().__init__(f"{'; '.join([*problems[:_SHOWN], *more])}: {advice}")


def one_line(error: Exception) -> str:
    """Shorten what a library says to one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
