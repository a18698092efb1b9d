"""What is wrong with the data in full, where it is too much for one line."""

from pipeline.paths import PROBLEMS

from collections.abc import Iterator
from contextlib import contextmanager

from similarity.errors import DataError, UserError
from similarity.files import replaced_file


@contextmanager
def listing_problems() -> Iterator[None]:
    """Writes the problems of a `DataError` that are too many for its message to a file, and names the file."""
    try:
        yield
    except DataError as error:
        if error.is_complete:
            raise
        with replaced_file(PROBLEMS) as path:
            path.write_text("".join(f"{problem}\n" for problem in error.problems), encoding="utf-8")
        raise UserError(f"{error}; all are in {PROBLEMS}") from error
