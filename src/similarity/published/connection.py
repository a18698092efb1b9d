"""Reaching LanceDB, which is an extra, and saying in one line what it could not do."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from similarity.errors import UserError

Table = Any
"""A table of LanceDB, whose type information lacks half of what is in it."""

_PLACE_IN_SOURCES = re.compile(r", \S+\.rs:\d+(:\d+)?")


def table_name(size: int) -> str:
    """The name of the table for embeddings of a length: a column holds vectors of one length only."""
    return f"images_{size}"


def connect(uri: str) -> Any:
    """Opens a database; a folder is made if it is not there.

    Raises:
        UserError: LanceDB is not installed, or cannot reach it.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every cluster of vectors that is empty
    try:
        import lancedb
    except ImportError as error:
        raise UserError(f"lancedb is not installed ({error}): run `pip install 'lancedb>=0.40,<0.41'`") from error
    with one_line_errors(uri):
        return lancedb.connect(uri)


def open_table(uri: str, size: int) -> Table | None:
    """Opens the latest version of the table of embeddings of length `size`, None if there is none.

    Raises:
        UserError: LanceDB is not installed, or cannot reach it.
    """
    if "://" not in uri and not Path(uri).is_dir():  # which LanceDB would make
        return None
    database = connect(uri)
    with one_line_errors(uri):
        try:
            return database.open_table(table_name(size))
        except ValueError as error:
            if "was not found" in str(error):
                return None
            raise


@contextmanager
def one_line_errors(uri: str) -> Iterator[None]:
    """Turns what LanceDB raises while it works on a database into an error of one line.

    Raises:
        UserError: LanceDB raised an error.
    """
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(_PLACE_IN_SOURCES.sub("", str(error)).split()).removeprefix("lance error: ")
        raise UserError(f"{uri}: {reason[:500]}") from error
